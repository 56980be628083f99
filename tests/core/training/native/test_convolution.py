"""The gradient of a convolution's weights in bfloat16 beside PyTorch's own in double precision."""

import pytest
import torch
from torch import Tensor, nn

from resnet_core.training.native import available
from resnet_core.training.native import convolution as module
from resnet_core.training.native.convolution import convolve, convolves
from resnet_core.training.native.library import library

HAS_ONE = available() and bool(library().has_weight_gradient())  # type: ignore[union-attr]
pytestmark = pytest.mark.skipif(not HAS_ONE, reason="needs a C compiler and a processor with AVX512-BF16 and without AMX")
SHAPES = [  # images, channels in, out, height, width
    (5, 16, 16, 28, 28), (9, 64, 64, 7, 7), (3, 16, 48, 5, 8), (2, 32, 16, 9, 6), (3, 16, 16, 1, 1), (1, 16, 16, 2, 3), (20, 128, 256, 4, 4),
]  # fmt: skip


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).contiguous(memory_format=torch.channels_last)


def layer_of(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    layer.weight.data = drawn(after, before, 3, 3, seed=2)
    return layer


def distance(found: Tensor, true: Tensor) -> float:
    return float((found.detach().double() - true).norm() / true.norm())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_gradients_are_those_of_pytorch(shape: tuple[int, ...], stride: int) -> None:
    images, before, after, height, width = shape
    layer, x = layer_of(before, after, stride), drawn(images, before, height, width).bfloat16().requires_grad_()
    assert convolves(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, theirs = convolve(layer, x), layer(x)
    assert "_ConvolutionBackward" in str(y.grad_fn), "the kernel, and not what stands in for it"
    assert torch.equal(y, theirs)
    gradient = drawn(*y.shape, seed=3).bfloat16()
    of_x, of_weight = torch.autograd.grad(y, (x, layer.weight), gradient)
    assert torch.equal(of_x, torch.autograd.grad(theirs, x, gradient)[0])
    true_x, true_weight = x.detach().double(), layer.weight.detach().double().requires_grad_()
    true = torch.nn.functional.conv2d(true_x, true_weight, stride=stride, padding=1)
    (right,) = torch.autograd.grad(true, true_weight, gradient.double())
    assert of_weight.dtype == torch.float32
    assert distance(of_weight, right) < 1e-5, "sums in float32 of products that are exact there"


@pytest.mark.parametrize("needed", ["x", "weight"])
def test_only_what_somebody_needs_is_computed(needed: str) -> None:
    layer, x = layer_of(16, 16), drawn(2, 16, 5, 5).bfloat16()
    layer.weight.requires_grad_(needed == "weight")
    x.requires_grad_(needed == "x")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        convolve(layer, x).float().square().sum().backward()
    assert (x.grad is not None, layer.weight.grad is not None) == (needed == "x", needed == "weight")


def test_the_same_bits_every_time() -> None:
    layer, x = layer_of(16, 32, 2), drawn(33, 16, 14, 14).bfloat16()
    found = []
    for _ in range(20):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found.append(torch.autograd.grad(convolve(layer, x).float().sum(), layer.weight)[0])
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_outside_autocast_and_in_another_order_pytorch_computes() -> None:
    layer, x = layer_of(16, 16), drawn(2, 16, 5, 5)
    assert torch.equal(convolve(layer, x), layer(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for other in (x, x.bfloat16().contiguous()):
            assert "_Convolution" not in str(convolve(layer, other).grad_fn)


def test_layers_that_are_other_than_these_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert convolves(nn.Conv2d(16, 32, 3, 2, 1, bias=False))
    others = [
        nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(16, 24, 3, padding=1, bias=False), nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.Conv2d(16, 16, 3, padding=0, bias=False), nn.Conv2d(16, 16, 1, bias=False), nn.Conv2d(16, 16, 3, 3, 1, bias=False),
        nn.Conv2d(16, 16, 3, 1, 1, groups=2, bias=False), nn.Conv2d(16, 16, 3, 1, 2, 2, bias=False),
        nn.Conv2d(16, 16, 3, padding=1, bias=False, padding_mode="reflect"), nn.Conv2d(16, 16, 3, padding="same", bias=False),
        nn.ConvTranspose2d(16, 16, 3, padding=1, bias=False), nn.Linear(16, 16),
    ]  # fmt: skip
    assert not any(convolves(other) for other in others)
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: 64)
    assert convolves(nn.Conv2d(128, 128, 3, padding=1, bias=False))
    assert not convolves(nn.Conv2d(512, 512, 3, padding=1, bias=False)), "64 threads' sums would fill 600 MB"
