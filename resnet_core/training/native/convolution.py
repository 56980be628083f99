"""3x3 convolutions in bfloat16 whose weights' gradient is a kernel of ours: PyTorch's takes up to half as long again, with stride 2 twice as
long.

Like PyTorch under autocast it multiplies bfloat16 and adds in float32; the gradient then stays in float32.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from resnet_core.training.native.library import address, call, is_channels_last, is_hooked, library

STEP = 16  # channels come in so many at a time
MOST_BYTES = 2**26  # of all threads' sums, and of their images: the machine may have a hundred of them


def convolves(module: nn.Module) -> bool:
    """Whether the kernel knows this layer, on a processor that has one."""
    if (
        type(module) is not nn.Conv2d
        or is_hooked(module)
        or module.bias is not None
        or module.padding_mode != "zeros"
        or not _kernels_have_it()
    ):
        return False
    same = (module.kernel_size, module.padding, module.dilation, module.groups) == ((3, 3), (1, 1), (1, 1), 1)
    fits = all(channels % STEP == 0 for channels in (module.in_channels, module.out_channels))
    sums = torch.get_num_threads() * module.weight.numel() * module.weight.element_size()
    return same and fits and module.stride in ((1, 1), (2, 2)) and sums <= MOST_BYTES


def convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """layer(x) of x (B, C, H, W) under autocast; what is not bfloat16 in channels_last PyTorch computes."""
    kernels = library()
    if kernels is None or not _suits(layer, x):
        return layer(x)  # type: ignore[no-any-return]
    return _Convolution.apply(kernels, x, layer.weight, layer.stride[0])  # type: ignore[no-any-return]


def _suits(layer: nn.Conv2d, x: Tensor) -> bool:
    if x.dtype != torch.bfloat16 or not torch.is_autocast_enabled("cpu") or x.dim() != 4 or not is_channels_last(x):
        return False
    pairs = 2 * x.element_size() * (x[0].numel() + layer.out_channels * x.shape[2] * x.shape[3])  # of an image of x and of y
    return layer.weight.dtype == torch.float32 and torch.get_num_threads() * pairs <= MOST_BYTES


def _kernels_have_it() -> bool:
    kernels = library()
    return kernels is not None and bool(kernels.has_weight_gradient())


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: ctypes.CDLL, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        rounded = weight.to(x.dtype)
        ctx.kernels, ctx.stride = kernels, stride
        ctx.save_for_backward(x, rounded)
        return functional.conv2d(x, rounded, stride=stride, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        dy = gradient.contiguous(memory_format=torch.channels_last)
        of_x = _gradient_of_input(x, weight, dy, ctx.stride) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[2]:
            return None, of_x, None, None
        of_weight = torch.empty(weight.shape, memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        call(
            ctx.kernels.weight_gradient, address(x), address(dy), address(of_weight), images, height, width, channels, weight.shape[0],
            ctx.stride,
        )  # fmt: skip
        return None, of_x, of_weight, None


def _gradient_of_input(x: Tensor, weight: Tensor, dy: Tensor, stride: int) -> Tensor:
    """As torch.nn.grad.conv2d_input, which knows of the input's shape alone and so answers in the other memory order."""
    ones, wanted = [1, 1], [True, False, False]
    of_x: Tensor
    of_x, *_ = torch.ops.aten.convolution_backward.default(dy, x, weight, None, [stride, stride], ones, ones, False, [0, 0], 1, wanted)
    return of_x
