"""The words for gradients: thresholds, planted faults, and that no single number decides."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.inspection import VERDICTS, gradient_trend, measure_gradients
from resnet_core.models import block_places


def geometric(log_per_block: float, blocks: int) -> list[float]:
    """Norms in the order of the forward pass that grow by this on their way back."""
    return [10 ** (log_per_block * (blocks - 1 - number)) for number in range(blocks)]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_geometric_row_is_what_it_is(sign: int) -> None:
    trend = gradient_trend(geometric(sign * 0.15, 27))
    assert trend.log_ratio == pytest.approx(sign * 0.15 * 26)
    assert trend.per_block == pytest.approx(sign * 0.15)
    assert trend.agreeing == 1
    assert trend.verdict == ("exploding" if sign > 0 else "vanishing")


@pytest.mark.parametrize(
    ("per_block", "blocks", "verdict"),
    [
        (0.0, 9, "healthy"),
        (0.1, 9, "healthy"),
        (0.14, 9, "leaning_up"),  # a factor of 13 in nine blocks: steep, but not extreme
        (-0.14, 9, "leaning_down"),
        (0.3, 9, "exploding"),  # a factor of 250, doubling with every block
        (0.05, 54, "leaning_up"),  # a factor of 450, but slowly: what ResNets do
        (0.08, 54, "exploding"),  # more than a factor of 10,000, however slowly
        (-0.08, 54, "vanishing"),
    ],
)
def test_ratio_and_growth_decide_together(per_block: float, blocks: int, verdict: str) -> None:
    assert gradient_trend(geometric(per_block, blocks)).verdict == verdict


def test_one_jump_does_not_explode() -> None:
    """The ends alone would say so: a factor of 10,000. Only one of eight steps goes that way."""
    norms = [1e4, *(1 + 0.01 * number for number in range(8))]
    trend = gradient_trend(norms)
    assert trend.log_ratio is not None
    assert trend.log_ratio > 3.9
    assert trend.agreeing == pytest.approx(1 / 8)
    assert trend.verdict == "leaning_up"


@pytest.mark.parametrize(
    ("norms", "verdict"),
    [
        ([], "too_short"),
        ([1.0], "too_short"),
        ([0.0, 0.0, 0.0], "zero"),
        ([0.0, 1e-30, 1.0], "vanishing"),
        ([math.inf, 1.0], "not_finite"),
        ([1.0, math.nan], "not_finite"),
    ],
)
def test_what_has_no_ratio_is_said(norms: list[float], verdict: str) -> None:
    trend = gradient_trend(norms)
    assert trend.verdict == verdict
    assert verdict in VERDICTS
    assert (trend.log_ratio, trend.per_block, trend.agreeing) == (None, None, None)


# -- planted faults ---------------------------------------------------------------------------------------------------------------


def verdict_of(model: nn.Module, images: Tensor, labels: Tensor) -> str:
    return gradient_trend([block.input_grad_norm for block in measure_gradients(model, images, labels).blocks]).verdict


def scale_convolutions(model: nn.Module, factor: float) -> None:
    with torch.no_grad():
        for place in block_places(model):
            for module in place.module.residual.modules():
                if isinstance(module, nn.Conv2d):
                    module.weight.mul_(factor)


@pytest.mark.parametrize(("factor", "verdict"), [(0.25, "vanishing"), (4.0, "exploding")])
def test_weights_that_are_too_small_or_too_large(build: Any, images: Tensor, labels: Tensor, factor: float, verdict: str) -> None:
    """Without norms and shortcuts every convolution multiplies the gradient by the size of its weights."""
    model = build("plain20", norm="none")
    assert verdict_of(model, images, labels) in ("healthy", "leaning_up", "leaning_down")
    scale_convolutions(model, factor)
    assert verdict_of(model, images, labels) == verdict


def test_shortcuts_mend_weights_that_are_too_small(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build("resnet20", norm="none")
    scale_convolutions(model, 0.25)
    assert verdict_of(model, images, labels) == "healthy"


def test_a_dead_head_and_a_broken_weight(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build("resnet8")
    nn.init.zeros_(model.head.fc.weight)
    assert verdict_of(model, images, labels) == "zero"
    nn.init.constant_(model.stem.conv.weight, math.nan)
    assert verdict_of(build("resnet8"), images, labels) == "healthy"
    assert verdict_of(model, images, labels) == "not_finite"
