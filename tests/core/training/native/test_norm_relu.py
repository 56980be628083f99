"""BatchNorm, add and ReLU in one kernel beside PyTorch's own three in double precision."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.training.native import available
from resnet_core.training.native.norm_relu import norm_relu

pytestmark = pytest.mark.skipif(not available(), reason="needs Linux and a C compiler")
SHAPES = [
    (8, 16, 14, 14),
    (3, 1, 16, 5),
    (2, 8, 5, 4),
    (5, 48, 3, 3),
    (4, 64, 7, 7),
    (2, 160, 4, 4),
    (3, 512, 4, 4),
    (9, 16, 1, 1),
    (129, 32, 3, 5),
]
ROUNDED = {torch.float32: 3e-6, torch.bfloat16: 4e-3}  # of the size: bfloat16 keeps 8 bits


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3)
    with torch.no_grad():
        norm.weight.copy_(drawn(1, channels, 1, 1, seed=2).flatten())
        norm.bias.copy_(drawn(1, channels, 1, 1, seed=3).flatten())
    return norm


def in_double(norm: nn.BatchNorm2d, x: Tensor, other: Tensor | None) -> tuple[nn.BatchNorm2d, Tensor, Tensor | None, Tensor]:
    """The same as PyTorch has it."""
    true = nn.BatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum, dtype=torch.double)
    true.load_state_dict(norm.state_dict())
    x = x.detach().double().requires_grad_()
    other = None if other is None else other.detach().double().requires_grad_()
    y = true(x)
    return true, x, other, functional.relu(y if other is None else y + other)


def distance(found: Tensor, true: Tensor) -> float:
    """Relative to the size of the true one."""
    return float((found.detach().double() - true).norm() / true.norm())


@pytest.mark.parametrize("dtype", ROUNDED)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("adds", [False, True], ids=["norm relu", "norm add relu"])
def test_output_statistics_and_gradients_are_those_of_separate_operations(adds: bool, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = (3 * drawn(*shape, dtype=dtype) + 1).requires_grad_()
    other = drawn(*shape, dtype=dtype, seed=4).requires_grad_() if adds else None
    norm = norm_of(shape[1])
    true, true_x, true_other, true_y = in_double(norm, x, other)
    y, second = norm_relu(norm, x, other)
    assert "_NormReLUBackward" in str(y.grad_fn), "the kernel, and not what stands in for it"
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert distance(y, true_y.detach()) < ROUNDED[dtype]
    for name, buffer in true.named_buffers():
        assert torch.allclose(getattr(norm, name).double(), buffer.double(), rtol=1e-5, atol=1e-6), name
    gradient, another = drawn(*shape, dtype=dtype, seed=5), drawn(*shape, dtype=dtype, seed=6)
    loss, whole = (y * gradient).sum() + (second * another).sum(), gradient.double() + another.double()
    kept = y.detach() > 0  # where the two agree on the sign: a number that is rounded to zero has no side
    whole = torch.where(kept == (true_y > 0), whole, 0)
    if not torch.equal(kept, true_y > 0):
        pytest.skip("a number lies at the kink itself")
    found = torch.autograd.grad(loss, [t for t in (x, other, norm.weight, norm.bias) if t is not None])
    right = torch.autograd.grad(true_y, [t for t in (true_x, true_other, true.weight, true.bias) if t is not None], whole)
    for ours, theirs in zip(found, right, strict=True):
        assert distance(ours, theirs) < 2 * ROUNDED[dtype]


@pytest.mark.parametrize("dtype", ROUNDED)
@pytest.mark.parametrize("used", [(True, False), (False, True), (True, True)])
def test_each_of_the_two_users_may_stay_without_a_gradient(used: tuple[bool, bool], dtype: torch.dtype) -> None:
    """Whole numbers and a power of two: no sum is rounded."""
    x, other, norm = drawn(4, 16, 4, 4, dtype=dtype).requires_grad_(), drawn(4, 16, 4, 4, dtype=dtype, seed=2), norm_of(16)
    pair = norm_relu(norm, x, other)
    alone, _ = norm_relu(norm_of(16), x, other)
    loss = sum(((number + 1) * y.sum() for number, (y, does) in enumerate(zip(pair, used, strict=True)) if does), torch.tensor(0.0))
    scale = sum(number + 1 for number, does in enumerate(used) if does)
    assert torch.equal(torch.autograd.grad(loss, x)[0], torch.autograd.grad(scale * alone.sum(), x)[0])


@pytest.mark.parametrize("dtype", ROUNDED)
def test_a_mean_far_from_zero_costs_the_variance_no_digits(dtype: torch.dtype) -> None:
    """The squares of 1,000 have six digits too many for float32; here they are around a value of the channel itself."""
    x, norm = (drawn(32, 16, 8, 8) + 1000).to(dtype), norm_of(16)
    true, _, _, true_y = in_double(norm, x, None)
    y, _ = norm_relu(norm, x)
    assert torch.allclose(norm.running_var.double(), true.running_var, rtol=1e-5)  # type: ignore[union-attr]
    assert distance(y, true_y.detach()) < (1e-4 if dtype == torch.float32 else ROUNDED[dtype])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_goes_on_to_the_loss(bad: float) -> None:
    x = drawn(4, 16, 4, 4)
    x[1, 3, 0, 2] = bad
    y, _ = norm_relu(norm_of(16), x)
    assert y[:, 3].isnan().all()
    assert y[:, [0, 15]].isfinite().all()
    pair = norm_relu(norm_of(16), drawn(4, 16, 4, 4), x)
    assert pair[0][1, 3, 0, 2].isnan() if math.isnan(bad) else pair[0][1, 3, 0, 2] == bad


def test_a_gradient_that_is_not_finite_is_not_lost() -> None:
    x = drawn(4, 16, 4, 4).requires_grad_()
    x.data[1, 3, 0, 2] = math.nan
    norm = norm_of(16)
    norm_relu(norm, x)[0].sum().backward()
    assert norm.weight.grad[3].isnan()  # type: ignore[index]
    assert norm.weight.grad[:3].isfinite().all()  # type: ignore[index]


@pytest.mark.parametrize("why", ["evaluation", "double", "contiguous", "24 channels", "half a norm"])
def test_what_the_kernel_does_not_know_pytorch_computes(why: str) -> None:
    channels = 24 if why == "24 channels" else 16
    x, norm = drawn(3, channels, 3, 5), norm_of(channels)
    if why == "evaluation":
        norm.eval()
    elif why == "double":
        x, norm = x.double(), norm.double()
    elif why == "contiguous":
        x = x.contiguous()
    elif why == "half a norm":  # whose memory is half as large
        x, norm = x.bfloat16(), norm.bfloat16()
    x.requires_grad_()
    expected = functional.relu(norm(x))
    for y in (norm_relu(norm, x)[0], norm_relu(norm, x, torch.zeros_like(x))[1]):
        assert torch.equal(y, expected)
        assert "_NormReLU" not in str(y.grad_fn)


def test_a_norm_for_other_channels_is_refused_as_by_pytorch() -> None:
    with pytest.raises(RuntimeError, match="should contain 64 elements not 16"):
        norm_relu(norm_of(16), drawn(2, 64, 3, 3))


def test_an_outlier_costs_the_variance_few_digits() -> None:
    x = drawn(64, 16, 28, 28)
    x[0, :, 0, 0] = 1000
    norm = norm_of(16)
    true, *_ = in_double(norm, x, None)
    norm_relu(norm, x)
    assert torch.allclose(norm.running_var.double(), true.running_var, rtol=1e-4)  # type: ignore[union-attr]


def test_one_value_has_no_variance() -> None:
    with pytest.raises(ValueError, match="more than 1 value"):
        norm_relu(norm_of(16), drawn(1, 16, 1, 1))


def test_the_same_bits_every_time() -> None:
    x = drawn(64, 16, 14, 14, dtype=torch.bfloat16)
    first, *others = [norm_relu(norm_of(16), x)[0] for _ in range(20)]
    assert all(torch.equal(first, other) for other in others)
