"""Torch's operations one at a time: the shape of what each gives, its window, its multiply-accumulates.

Nothing is computed: on the meta device tensors have shapes and no values. Convolutions and elementwise operations get their shapes here;
torch's own kernels for `meta` would import its compiler for them, which costs a page 150 MB and two seconds.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

# Only move values, or rename dimensions: no steps of their own unless a module does nothing else.
MOVES = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice", "select", "squeeze", "unsqueeze", "clone", "alias",
    "detach", "split", "split_with_sizes", "chunk", "unbind", "roll", "constant_pad_nd", "_to_copy", "as_strided", "lift_fresh", "copy_",
    "copy", "narrow", "view_as", "contiguous", "repeat", "flip", "index_select",
}  # fmt: skip
NORMS = {
    "native_batch_norm",
    "native_group_norm",
    "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit",
    "cudnn_batch_norm",
    "batch_norm",
}
UNARY = {
    "relu", "gelu", "silu", "hardswish", "hardsigmoid", "hardtanh", "sigmoid", "tanh", "leaky_relu", "elu", "softplus", "mish", "exp",
    "neg", "sqrt", "rsqrt", "dropout", "clamp", "softmax", "_softmax", "log_softmax", "_log_softmax", "clamp_min",
}  # fmt: skip
BINARY = {"add", "sub", "mul", "div"}
KINDS = {
    "convolution": "conv", "addmm": "linear", "mm": "linear", "bmm": "matmul", "baddbmm": "matmul", "max_pool2d_with_indices": "max_pool",
    "avg_pool2d": "avg_pool", "_adaptive_avg_pool2d": "avg_pool", "_softmax": "softmax", "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm", "_native_batch_norm_legit_no_training": "batch_norm",
}  # fmt: skip


def tensors(tree: Any) -> Iterator[Tensor]:
    """Those in an operation's arguments or results, however nested."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from tensors(value)


def run_on_shapes(plain: str, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """The result's shape; by torch's own kernel for `meta` where that does without the compiler."""
    first = args[0] if args else None
    if not isinstance(first, Tensor) or first.device.type != "meta":
        return func(*args, **kwargs)
    in_place = name != plain
    if plain == "convolution" and not args[6]:
        return first.new_empty(_convolved(first.shape, args[1].shape, args[3], args[4], args[5], args[8]))
    if plain in NORMS:
        return (first.new_empty(first.shape), first.new_empty(0), first.new_empty(0))
    if plain in UNARY:
        return first if in_place else first.new_empty(first.shape)
    if plain in BINARY:
        shapes = [t.shape for t in tensors(args[:2])]
        return first if in_place else first.new_empty(np.broadcast_shapes(*shapes))
    if plain == "max_pool2d_with_indices" and len(args) < 5:
        kernel, stride, _ = window(plain, args)
        return (
            first.new_empty(_slid(first.shape, first.shape[1], kernel, stride, pair(args[3]) if len(args) > 3 else (0, 0), (1, 1))),
        ) * 2
    if plain == "avg_pool2d" and not any(args[4:5]):
        kernel, stride, _ = window(plain, args)
        return first.new_empty(_slid(first.shape, first.shape[1], kernel, stride, pair(args[3]) if len(args) > 3 else (0, 0), (1, 1)))
    if plain == "constant_pad_nd":
        return first.new_empty(_padded(first.shape, args[1]))
    if plain == "addmm":
        return first.new_empty((args[1].shape[0], args[2].shape[1]))
    if plain == "mean" and len(args) > 1 and not kwargs:
        return first.new_empty(_averaged(first.shape, args[1], len(args) > 2 and args[2]))
    return func(*args, **kwargs)


def _convolved(image: Sequence[int], weight: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> list[int]:
    if image[1] != weight[1] * groups:
        raise RuntimeError(f"a convolution for {weight[1] * groups} channels got {image[1]}")
    return _slid(image, weight[0], weight[2:], stride, padding, dilation)


def _slid(image: Sequence[int], channels: int, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any) -> list[int]:
    """What a sliding window leaves of (B, C, H, W)."""
    sides = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in zip(image[2:], kernel, stride, padding, dilation, strict=True)
    ]
    if min(sides) < 1:
        raise RuntimeError(f"a window of {tuple(kernel)} does not fit on {tuple(image[2:])} pixels")
    return [image[0], channels, *sides]


def _padded(shape: Sequence[int], padding: Sequence[int]) -> list[int]:
    """`padding` has two numbers a dimension, the last dimension first."""
    sizes = list(shape)
    for place in range(len(padding) // 2):
        sizes[-1 - place] += padding[2 * place] + padding[2 * place + 1]
    return sizes


def _averaged(shape: Sequence[int], dims: Sequence[int], keep: bool) -> list[int]:
    gone = {dim % len(shape) for dim in dims}
    return [1 if dim in gone else size for dim, size in enumerate(shape) if keep or dim not in gone]


def window(name: str, args: Any) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """(kernel, stride, groups) of an operation that slides one over the image; empty for all others."""
    if name == "convolution":
        return tuple(args[1].shape[2:]), tuple(args[3]), int(args[8])
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        kernel = pair(args[1])
        return kernel, pair(args[2]) if len(args) > 2 and args[2] else kernel, 1
    return (), (), 1


def macs(name: str, func: Any, args: Any, output: Tensor) -> int:
    """Multiply-accumulates of convolutions and matrix products, as torch.utils.flop_counter counts them; everything else counts 0."""
    if name == "convolution":
        return int(output[0].numel() * args[1][0].numel())
    if name in ("mm", "bmm"):
        return output.numel() * int(args[0].shape[-1])
    if name in ("addmm", "baddbmm"):
        return output.numel() * int(args[1].shape[-1])
    if "scaled_dot_product" in name:
        query, key, value = (tuple(args[i].shape) for i in range(3))
        return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))
    return 0


def pair(values: Sequence[int] | int) -> tuple[int, int]:
    """Down and across, as torch reads one number or two."""
    numbers = (values,) if isinstance(values, int) else tuple(values) or (1,)
    return (int(numbers[0]), int(numbers[-1]))
