"""BatchNorm, the add of a residual block and ReLU of a training step on a CPU as one operation with gradients.

Beside its convolutions a step of a small ResNet does little else than read and write activations. In one kernel two passes do it in
each direction. It rounds less often than the separate operations, so a training's last digits are others.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from resnet_core.training.native.library import address, call, is_channels_last, library

HALF = {torch.float32: 0, torch.bfloat16: 1}  # whether a number has half the bytes of a float


def norm_relu(norm: nn.BatchNorm2d, x: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """relu(norm(x)) or relu(norm(x) + other) of x (B, C, H, W), running statistics included; twice, with the same memory: for two users,
    whose gradients are then added on the way back. What the kernel does not know (another dtype or memory order, evaluation) PyTorch computes.
    """
    kernels = library()
    if kernels is None or not _suits(kernels, norm, x, other):
        y = norm(x)
        y = functional.relu(y if other is None else y + other)
        return y, y
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return _NormReLU.apply(  # type: ignore[no-any-return]
        kernels, x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps, other
    )


def _suits(kernels: ctypes.CDLL, norm: nn.BatchNorm2d, x: Tensor, other: Tensor | None) -> bool:
    if not norm.training or x.dtype not in HALF or x.device.type != "cpu" or not is_channels_last(x):
        return False
    if other is not None and not (other.shape == x.shape and other.dtype == x.dtype and is_channels_last(other)):
        return False
    own = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    if not all(t is not None and t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in own):
        return False
    channels = x.shape[1]
    return channels == norm.num_features and x.numel() > channels and kernels.row_width(x.numel(), channels) > 0


class _NormReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernels: ctypes.CDLL,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_variance: Tensor,
        momentum: float,
        eps: float,
        other: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        y, mean, deviation = torch.empty_like(x), torch.empty_like(running_mean), torch.empty_like(running_mean)
        call(
            kernels.norm_relu_forward, address(x), address(other), address(y), x.numel(), x.shape[1], HALF[x.dtype],
            address(weight), address(bias), address(running_mean), address(running_variance), momentum, eps,
            address(mean), address(deviation),
        )  # fmt: skip
        ctx.kernels = kernels
        ctx.save_for_backward(x, weight, bias, mean, deviation, None if other is None else y)
        return y, y.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, deviation, y = ctx.saved_tensors
        dy, dy2 = (*(g.contiguous(memory_format=torch.channels_last) for g in gradients if g is not None), None, None)[:2]
        if dy is None:
            return (None,) * 9
        dx, of_weight, of_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        of_other = None if y is None else torch.empty_like(y)
        call(
            ctx.kernels.norm_relu_backward, address(dy), address(dy2), address(x), address(y), address(dx), address(of_other),
            x.numel(), x.shape[1], HALF[x.dtype], address(weight), address(bias), address(mean), address(deviation),
            address(of_weight), address(of_bias),
        )  # fmt: skip
        return None, dx, of_weight, of_bias, None, None, None, None, of_other
