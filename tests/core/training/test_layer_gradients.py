"""What a recording says of the layers' gradients is what the optimizer got in the step before it."""

import itertools
from typing import Any

import pytest
import torch

from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import load_splits
from resnet_core.training import BlocksMeasured, EpochDone, StepDone
from resnet_core.training.loop import Training

CPU = torch.device("cpu")


def start(**settings: Any) -> Training:
    wish = {"model": "resnet8", "width": 0.5, "epochs": 1, "batch_size": 16, "train_limit": 48, "probe_every": 1, "precision": "float32"}
    config = RunConfig.from_flat({**wish, "memory_format": "contiguous", "device": "cpu", **settings})
    return Training(config, load_splits(DataConfig(train_limit=48)), device=CPU)


def test_gradients_of_a_scaled_loss_are_unscaled_before_they_are_read() -> None:
    """As with float16 on a GPU: the loss is multiplied by 1024, the norms are those without it."""
    plain, scaled = start(), start()
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=True)
    norms = []
    for training in (plain, scaled):
        events = training.events()
        (step,) = itertools.islice((event for event in events if isinstance(event, StepDone)), 1)
        measured = next(event for event in events if isinstance(event, BlocksMeasured))
        norms.append((step.stage_gradient_norms, [block.layer_grad_norms for block in measured.block_statistics]))
    (parts, layers), (scaled_parts, scaled_layers) = norms
    assert scaled_parts == pytest.approx(parts, rel=1e-4)
    for one, other in zip(layers, scaled_layers, strict=True):
        assert other == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.01}, {"model": "plain8"}], ids=str)
def test_a_recording_holds_the_gradients_of_its_step(settings: dict[str, Any]) -> None:
    training = start(**settings)
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
