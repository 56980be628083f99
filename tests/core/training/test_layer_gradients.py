"""What a recording says of the layers' gradients is what the optimizer got in the step before it."""

from typing import Any

import pytest
import torch

from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import load_splits
from resnet_core.training import BlocksMeasured, EpochDone
from resnet_core.training.loop import Training

CPU = torch.device("cpu")


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.01}, {"model": "plain8"}], ids=str)
def test_a_recording_holds_the_gradients_of_its_step(settings: dict[str, Any]) -> None:
    wish = {"model": "resnet8", "width": 0.5, "epochs": 1, "batch_size": 16, "train_limit": 48, "probe_every": 1, "precision": "float32"}
    config = RunConfig.from_flat({**wish, "memory_format": "contiguous", "device": "cpu", **settings})
    training = Training(config, load_splits(DataConfig(train_limit=48)), device=CPU)
    seen = 0
    for event in training.events():
        if not isinstance(event, BlocksMeasured | EpochDone):
            continue
        for block in event.block_statistics:
            if training.step == 0:
                assert block.layer_grad_norms is None
                continue
            module = training.model.get_submodule(block.name)
            expected = {f"residual.{name}": float(getattr(module.residual, name).weight.grad.norm()) for name in ("conv1", "conv2")}
            assert block.layer_grad_norms == pytest.approx(expected, rel=1e-5)
            seen += 1
    assert seen == 3 * 3, "three blocks at three steps"
    if "clip_norm" in settings:
        whole = sum(float(p.grad.square().sum()) for p in training.model.parameters()) ** 0.5
        assert whole == pytest.approx(0.01, rel=1e-3)
