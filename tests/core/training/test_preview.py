"""The images shown before the start are the ones that the training then gets, to the last bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from resnet_core.config import RunConfig
from resnet_core.data import load_splits, normalize
from resnet_core.data.spec import Splits
from resnet_core.training import Training, epoch_order
from resnet_core.training.finder import training_batches
from resnet_core.training.preview import as_seen, first_images
from tests.core.training.conftest import random_split

EVERYTHING = {
    "crop_padding": 2,
    "flip": True,
    "rotation": 20,
    "translate": 0.1,
    "scale": 0.2,
    "shear": 9,
    "elastic": 1,
    "thickness": 1,
    "jitter": 0.3,
}
EVERYTHING |= {"erase_p": 0.5, "cutout": 4}


@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"mixup": 0.5, "rotation": 20}], ids=["none", "everything", "mixup"])
@pytest.mark.parametrize("batch", [16, 48], ids=["small", "large"])
def test_what_is_shown_is_what_is_trained(splits: Splits, config: Callable[..., RunConfig], changes: dict[str, Any], batch: int) -> None:
    data = Splits(spec=splits.spec, train=random_split(64, 1), valid=splits.valid, load_test=splits.load_test)
    cfg = config(batch_size=batch, seed=5, **changes)
    training = Training(cfg, data, device=torch.device("cpu"))
    order = epoch_order(64, 5, 1)[:batch]
    trained = training._batch(order, data.train.images[order])[0][:32]
    first = first_images(cfg, data.train)
    shown = as_seen(cfg, first, data.spec, count=batch)
    assert torch.equal(normalize(shown, data.spec), trained)
    assert len(shown) == min(batch, 32)
    if not changes:
        assert torch.equal(shown, first.images[:32].float() / 255)


def test_a_folder_that_is_streamed_is_shown_and_swept_alike(
    splits: Splits, config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, digits: str
) -> None:
    """Images that do not fit into memory, decoded when they are asked for, beside the same ones as a tensor."""
    cfg = config(batch_size=16, dataset=digits, rotation=20, mixup=0.3)
    held = load_splits(cfg.data)
    monkeypatch.setenv("RESNET_IMAGE_MEMORY", "1")
    streamed = load_splits(cfg.data)
    assert not isinstance(streamed.train.images, torch.Tensor), "otherwise this test shows nothing"
    pictures = [as_seen(cfg, first_images(cfg, s.train), s.spec, count=16) for s in (held, streamed)]
    assert torch.equal(*pictures)
    batches = [training_batches(cfg, s)(1)[0] for s in (held, streamed)]
    assert torch.equal(*batches)
