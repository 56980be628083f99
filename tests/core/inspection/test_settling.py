"""An untrained network measured as it is in its first step, not with running statistics of 0 and 1."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_core.config import ModelConfig
from resnet_core.inspection import residual_statistics, settle_norms
from resnet_core.models import build_model
from tests.core.inspection.conftest import SPEC, Build


def test_one_batch_in_eval_mode_is_then_that_batch_in_train_mode(build: Build, images: Tensor) -> None:
    model = build("resnet8", dtype=torch.float64)
    batch = images.double()
    settle_norms(model, batch, batch_size=len(batch))
    reference = copy.deepcopy(model).train()
    with torch.no_grad():
        # the running variance is the unbiased one, so the two differ by 1/(n - 1) of the positions
        assert torch.allclose(model(batch), reference(batch), rtol=0.02, atol=0.02)


def test_weights_momentum_and_modes_stay(build: Build, images: Tensor) -> None:
    model = build("resnet8")
    model.stages[0].train()
    before = copy.deepcopy(model)
    settle_norms(model, images)
    for (name, now), (_, then) in zip(model.named_parameters(), before.named_parameters(), strict=True):
        assert torch.equal(now, then), name
    for now_module, then_module in zip(model.modules(), before.modules(), strict=True):
        assert now_module.training == then_module.training
        assert getattr(now_module, "momentum", 0) == getattr(then_module, "momentum", 0)
    assert not torch.equal(model.stages[0][0].residual.norm1.running_mean, before.stages[0][0].residual.norm1.running_mean)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_ratio_falls_inside_the_first_stage_as_theory_says(seed: int) -> None:
    """Slope of log r on log l about -1/2 (De and Smith 2020); with running statistics of 0 and 1 it is nowhere near."""
    model = build_model(ModelConfig(model="resnet56"), SPEC, seed=seed).eval()
    images = torch.randn(16, 1, 12, 12, generator=torch.Generator().manual_seed(seed))

    def slope() -> float:
        ratios = [block.ratio for block in residual_statistics(model, images) if block.stage == 1]
        return float(np.polyfit(np.log(np.arange(1, 10)), np.log(np.array(ratios, dtype=float)), 1)[0])

    raw = slope()
    settle_norms(model, images)
    assert slope() == pytest.approx(-0.5, abs=0.2)
    assert abs(raw + 0.5) > 0.2


@pytest.mark.parametrize("count", [64, 65, 66, 129])
def test_no_batch_is_a_single_image(count: int) -> None:
    """Its channels may have one value each, which has no variance."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 4), torch.nn.BatchNorm2d(2))
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    settle_norms(model, torch.randn(count, 1, 4, 4))
    assert sum(sizes) == count
    assert min(sizes) > 1
