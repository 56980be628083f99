"""Reference numbers on published weights, for who has them: RESNET_AKAMASTER=FOLDER with github.com/akamaster/pytorch_resnet_cifar10's
pretrained_models, and the JPEG files of CIFAR-10 under RESNET_DATA."""

import hashlib
import os
from pathlib import Path

import pytest

from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import DATASETS, load_split, normalize
from resnet_core.inspection import residual_statistics
from resnet_core.runs import load_model, read_checkpoint
from resnet_core.runs.importing import import_weights

FOLDER = os.environ.get("RESNET_AKAMASTER")
DATASET = "cifar10-jpg"
# |F| / |shortcut| by block on every 40th test image, measured once with hooks of our own on their code.
RATIOS = {
    "resnet20": (0.61, 0.63, 0.64, 0.95, 0.60, 0.57, 1.66, 1.18, 1.92),
    "resnet56": (0.37, 0.37, 0.30, 0.28, 0.21, 0.18, 0.23, 0.27, 0.19, 0.42, 0.20, 0.19, 0.20, 0.18, 0.19, 0.22, 0.21, 0.21,
                 0.66, 0.40, 0.38, 0.41, 0.44, 0.49, 0.50, 0.53, 0.89),
}  # fmt: skip


@pytest.mark.skipif(FOLDER is None, reason="RESNET_AKAMASTER names no folder with published weights")
@pytest.mark.parametrize("name", RATIOS)
def test_the_residual_s_size_is_the_reference_s(name: str, full_data: Path, tmp_path: Path) -> None:
    found = Path(str(FOLDER)).expanduser().glob(f"{name}-*.th")
    files = [file for file in found if hashlib.sha256(file.read_bytes()).hexdigest().startswith(file.stem.partition("-")[2])]
    if not files or not DATASETS[DATASET].is_present(full_data):
        pytest.skip(f"the published {name}-*.th (by its hash) or {DATASET} is not here")
    import_weights(files[0], tmp_path / "theirs.safetensors", ModelConfig(model=name), dataset=DATASET, normalisation="imagenet")
    checkpoint = read_checkpoint(tmp_path / "theirs.safetensors")
    _, split = load_split(DataConfig(dataset=DATASET), "test", root=full_data)
    blocks = residual_statistics(load_model(checkpoint), normalize(split.images[::40], checkpoint.spec))
    assert [block.ratio for block in blocks] == pytest.approx(RATIOS[name], abs=0.02)
    assert max(blocks, key=lambda block: block.residual_std) is blocks[-1], "the last block of all adds the most"
