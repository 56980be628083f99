"""Winograd convolutions beside torch's own in double precision, and a training with them beside one without."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models import build_model
from resnet_core.training import Training
from resnet_core.training import winograd as winograd_module
from resnet_core.training.events import EpochDone, StepDone
from resnet_core.training.winograd import WinogradConvolutions, convolve, saves_multiplications, share_saved

SPEC = DataSpec(name="test", channels=1, height=12, width=12, classes=tuple("0123"), mean=(0.5,), std=(0.29,))


def distance(found: Tensor, true: Tensor) -> float:
    """Relative to the size of the true one."""
    found, true = found.detach().double(), true.detach().double()
    return float((found - true).norm() / true.norm())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("before", "after", "height", "width"),
    [(64, 64, 28, 28), (256, 272, 7, 9), (3, 5, 4, 4), (128, 64, 14, 13), (300, 256, 1, 1), (256, 256, 2, 5)],
)
def test_output_and_gradients_are_those_of_a_direct_convolution(
    before: int, after: int, height: int, width: int, bias: bool, memory_format: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        winograd_module, "MOST_BYTES", 2 * 36 * 4 * max(before, after) * -(-height // 4) * -(-width // 4)
    )  # two images at once
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    images = drawn(5, before, height, width).relu().to(memory_format=memory_format).requires_grad_()
    weight = drawn(after, before, 3, 3).to(memory_format=memory_format).requires_grad_()
    wanted = [images, weight] + ([drawn(after).requires_grad_()] if bias else [])
    output = convolve(*wanted)
    true = functional.conv2d(*(tensor.double() for tensor in wanted), padding=1)
    assert distance(output, true) < 5e-6
    assert memory_format == torch.contiguous_format or output.is_contiguous(memory_format=torch.channels_last)
    gradient = drawn(*output.shape)
    found = torch.autograd.grad(output, wanted, gradient)
    for ours, theirs in zip(found, torch.autograd.grad(true, wanted, gradient.double()), strict=True):
        assert distance(ours, theirs) < 1e-5


@pytest.mark.parametrize("channels", [64, 256])
@pytest.mark.parametrize("needed", [0, 1])
def test_only_the_gradients_that_somebody_needs_are_computed(needed: int, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The input of a frozen layer, or the weights of the first one that trains; of a sum, whose gradient is one number for all."""
    inputs = [torch.randn(2, channels, 8, 8), torch.randn(channels, channels, 3, 3)]
    inputs[needed].requires_grad_()
    output = convolve(*inputs)
    for other in {0: ("_weight_gradient",), 1: ("_filtered", "conv2d_input")}[needed]:
        monkeypatch.delattr(winograd_module, other)
    output.sum().backward()
    functional.conv2d(*(found := [tensor.detach().double().requires_grad_() for tensor in inputs]), padding=1).sum().backward()
    assert distance(inputs[needed].grad, found[needed].grad) < 1e-5  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [64, 256])
@pytest.mark.parametrize("side", [8, 7])
def test_its_output_can_be_changed_in_place(channels: int, side: int) -> None:
    """As a ReLU does that is written so."""
    layers = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.ReLU(inplace=True))
    images = torch.randn(2, channels, side, side)
    with WinogradConvolutions():
        layers(images).sum().backward()
        with torch.inference_mode():
            assert distance(layers(images), functional.relu(layers[0](images))) < 1e-5
    assert layers[0].weight.grad is not None


def test_a_second_derivative_is_refused_instead_of_wrong() -> None:
    weight = torch.randn(64, 64, 3, 3, requires_grad=True)
    (first,) = torch.autograd.grad(convolve(torch.randn(2, 64, 8, 8), weight).square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


WHOLE = {"stride": (1, 1), "padding": (1, 1)}


@pytest.mark.parametrize(
    ("images", "weight", "arguments", "saves"),
    [
        ((2, 64, 28, 28), (64, 64, 3, 3), WHOLE, True),
        ((2, 512, 4, 4), (512, 512, 3, 3), WHOLE, True),
        ((2, 64, 28, 28), (64, 64, 3, 3), {"stride": 1, "padding": 1}, True),
        ((2, 512, 2, 2), (512, 512, 3, 3), WHOLE, False),  # 36 products instead of 4 x 9
        ((2, 64, 5, 5), (64, 64, 3, 3), WHOLE, False),  # 144 instead of 225
        ((2, 32, 28, 28), (64, 32, 3, 3), WHOLE, False),
        ((2, 64, 28, 28), (64, 64, 3, 3), {"stride": (2, 2), "padding": (1, 1)}, False),
        ((2, 64, 28, 28), (64, 64, 3, 3), {"stride": (1, 1), "padding": (0, 0)}, False),
        ((2, 64, 28, 28), (64, 64, 3, 3), {"stride": (1, 1), "padding": "same"}, False),
        ((2, 64, 28, 28), (64, 64, 3, 3), {**WHOLE, "dilation": (2, 2)}, False),
        ((2, 128, 28, 28), (128, 64, 3, 3), {**WHOLE, "groups": 2}, False),
        ((2, 64, 28, 28), (64, 64, 1, 1), WHOLE, False),
        ((2, 64, 28, 28), (64, 64, 5, 5), WHOLE, False),
        ((64, 28, 28), (64, 64, 3, 3), WHOLE, False),
    ],
)
def test_which_convolutions_are_taken(images: tuple[int, ...], weight: tuple[int, ...], arguments: dict[str, Any], saves: bool) -> None:
    assert saves_multiplications(torch.zeros(images), torch.zeros(weight), **arguments) is saves


@pytest.mark.parametrize("width", [1.0, 2.0, 4.0])
def test_the_share_that_it_saves(width: float) -> None:
    """resnet8 on 12 px: stages of 16, 32, 64 channels (times the width) at 12, 6 and 3 px, by hand."""
    model = build_model(ModelConfig(model="resnet8", width=width), SPEC)
    wide, saved = [int(channels * width) for channels in (16, 32, 64)], 0
    all_of_them = 9 * 12**2 * wide[0]  # the stem
    for number, (channels, side) in enumerate(zip(wide, (12, 6, 3), strict=True)):
        first = wide[max(number - 1, 0)]  # of stages 2 and 3 with stride 2
        counts = [9 * side**2 * channels * first, 9 * side**2 * channels**2]
        all_of_them += sum(counts)
        saved += (channels >= 64) * (sum(counts) if number == 0 else counts[1])
    assert share_saved(model, torch.randn(2, 1, 12, 12)) == pytest.approx(saved / all_of_them)


def test_other_types_and_devices_are_left_alone() -> None:
    shapes = (2, 64, 8, 8), (64, 64, 3, 3)
    assert not saves_multiplications(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes), **WHOLE)
    assert not saves_multiplications(*(torch.zeros(shape, device="meta") for shape in shapes), **WHOLE)


def test_inside_the_mode_a_network_takes_it_where_it_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []

    def counted(images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        sizes.append(tuple(weight.shape))
        return convolve(images, weight, bias)

    monkeypatch.setattr(winograd_module, "convolve", counted)
    network = nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 96, 3, padding=1),
        nn.Conv2d(96, 64, 1),
        nn.Conv2d(64, 64, 3, 2, 1, bias=False),
    )
    images = torch.randn(2, 1, 12, 12)
    direct = network(images)
    with WinogradConvolutions():
        filtered = network(images)
    assert sizes == [(96, 64, 3, 3)]
    assert 0 < distance(filtered, direct) < 1e-5
    assert torch.equal(network(images), direct), "outside it everything is as before"


def test_a_training_learns_the_same(start: Callable[..., Training]) -> None:
    """Four epochs of two steps each, of a network whose stages have 64, 128 and 256 channels, on images of 10, 5 and 3 px."""
    told = {}
    for convolution in ("direct", "winograd"):
        training = start(width=4.0, memory_format="channels_last", convolution=convolution, epochs=4, batch_size=25, learning_rate=0.01)
        assert training.plan.convolution == convolution
        events = list(training.events())
        told[convolution] = [e.loss for e in events if isinstance(e, StepDone)], [e.valid_loss for e in events if isinstance(e, EpochDone)]
    for ours, theirs in zip(told["winograd"], told["direct"], strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], rel=1e-4)
        assert ours == pytest.approx(theirs, rel=1e-2), "rounding grows from step to step"
    assert told["winograd"] != told["direct"], "winograd was never used"
