"""The kernels in C as Python calls them."""

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.training.native.compiling import load

SOURCES = tuple(Path(__file__).with_name(name) for name in ("norm_relu.c", "weight_gradient.c"))


@functools.cache
def library() -> ctypes.CDLL | None:
    """None where this machine cannot make it."""
    return declared(load(SOURCES))


def declared(found: ctypes.CDLL | None) -> ctypes.CDLL | None:
    """With the kinds of its arguments."""
    if found is None:
        return None
    pointer, long, real, flag = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int
    found.row_width.argtypes, found.row_width.restype = [long, long], long
    found.norm_relu_forward.argtypes = [*[pointer] * 3, long, long, flag, *[pointer] * 4, real, real, pointer, pointer, flag]
    found.norm_relu_backward.argtypes = [*[pointer] * 6, long, long, flag, *[pointer] * 6, flag]
    if found.has_weight_gradient():
        found.weight_gradient.argtypes = [*[pointer] * 3, *[long] * 5, flag, flag]
    return found


def address(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def call(kernel: Any, *arguments: Any) -> None:
    """With as many threads as PyTorch uses. MemoryError where there is none for its sums."""
    if kernel(*arguments, torch.get_num_threads()):
        raise MemoryError("no memory for the sums of a kernel")


def is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def is_hooked(module: nn.Module) -> bool:
    """Whether somebody wants to see, or change, what it does."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks)
