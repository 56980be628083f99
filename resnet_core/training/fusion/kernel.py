"""BatchNorm, the add of a residual block and ReLU of a training step on a CPU as one operation with gradients."""

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from resnet_core.training.fusion.native import load

SOURCE = Path(__file__).with_name("kernel.c")
HALF = {torch.float32: 0, torch.bfloat16: 1}  # whether a number has half the bytes of a float


def available() -> bool:
    """Whether this machine has what it takes."""
    return library() is not None


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel; None where there is none, or where it does not compute what PyTorch does."""
    found = load(SOURCE)
    if found is None:
        return None
    pointer, long, real, flag = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int
    found.row_width.argtypes, found.row_width.restype = [long, long], long
    found.forward.argtypes = [*[pointer] * 3, long, long, flag, *[pointer] * 4, real, real, pointer, pointer, flag]
    found.backward.argtypes = [*[pointer] * 6, long, long, flag, *[pointer] * 6, flag]
    return found if _is_right(found) else None


def norm_relu(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """relu(norm(x)) of x (B, C, H, W), running statistics included. What the kernel does not know (another dtype or memory order,
    evaluation) PyTorch computes.
    """
    kernel = library()
    if kernel is None or not _suits(kernel, norm, x):
        return functional.relu(norm(x))
    return _fused(kernel, norm, x, None)  # type: ignore[no-any-return]


def norm_add_relu(norm: nn.BatchNorm2d, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """relu(norm(x) + other), twice: the same memory for two users, whose gradients are then added on the way back."""
    kernel = library()
    if kernel is None or not (_suits(kernel, norm, x) and x.shape == other.shape and x.dtype == other.dtype and _is_channels_last(other)):
        y = functional.relu(norm(x) + other)
        return y, y
    return _fused(kernel, norm, x, other)  # type: ignore[no-any-return]


def _fused(kernel: ctypes.CDLL, norm: nn.BatchNorm2d, x: Tensor, other: Tensor | None) -> Any:
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return _NormReLU.apply(kernel, x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps, other)


def _suits(kernel: ctypes.CDLL, norm: nn.BatchNorm2d, x: Tensor) -> bool:
    if not norm.training or x.dtype not in HALF or x.device.type != "cpu" or not _is_channels_last(x):
        return False
    channels = x.shape[1]
    return x.numel() > channels and kernel.row_width(x.numel(), channels) > 0


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _address(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


class _NormReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernel: ctypes.CDLL,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_variance: Tensor,
        momentum: float,
        eps: float,
        other: Tensor | None,
    ) -> Any:
        ctx.set_materialize_grads(False)
        y, mean, deviation = torch.empty_like(x), torch.empty_like(running_mean), torch.empty_like(running_mean)
        failed = kernel.forward(
            _address(x), _address(other), _address(y), x.numel(), x.shape[1], HALF[x.dtype], _address(weight), _address(bias),
            _address(running_mean), _address(running_variance), momentum, eps, _address(mean), _address(deviation), torch.get_num_threads(),
        )  # fmt: skip
        _require(not failed)
        ctx.kernel = kernel
        ctx.save_for_backward(x, weight, bias, mean, deviation, None if other is None else y)
        return y if other is None else (y, y.detach())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, deviation, y = ctx.saved_tensors
        dy, dy2 = [g.to(x.dtype).contiguous(memory_format=torch.channels_last) for g in gradients if g is not None] + [None] * (
            2 - sum(g is not None for g in gradients)
        )
        if dy is None:
            return (None,) * 9
        dx, of_weight, of_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        shortcut = None if y is None else torch.empty_like(x)
        failed = ctx.kernel.backward(
            _address(dy), _address(dy2), _address(x), _address(y), _address(dx), _address(shortcut), x.numel(), x.shape[1], HALF[x.dtype],
            _address(weight), _address(bias), _address(mean), _address(deviation), _address(of_weight), _address(of_bias),
            torch.get_num_threads(),
        )  # fmt: skip
        _require(not failed)
        return None, dx, of_weight, of_bias, None, None, None, None, shortcut


def _require(there_was_memory: bool) -> None:
    if not there_was_memory:
        raise MemoryError("no memory for the sums of a normalisation")


@torch.enable_grad()
def _is_right(kernel: ctypes.CDLL) -> bool:
    """A compiler may err, and a processor may lack what another one with the same description has."""
    source = torch.Generator().manual_seed(0)
    x, other = (torch.randn(4, 16, 5, 8, generator=source).contiguous(memory_format=torch.channels_last).requires_grad_() for _ in "xo")
    ours, theirs = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
    y, expected = _fused(kernel, ours, x, other)[0], functional.relu(theirs(x) + other)
    found = (y, ours.running_var, *torch.autograd.grad(y.square().sum(), (x, other, ours.weight)))
    right = (expected, theirs.running_var, *torch.autograd.grad(expected.square().sum(), (x, other, theirs.weight)))
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(found, right, strict=True))  # type: ignore[arg-type]
