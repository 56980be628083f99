"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering, F(4x4, 3x3) (Lavin and Gray 2015, arXiv:1509.09308).

Every 4x4 tile of an output comes from a 6x6 tile of the input. Both the tile and the kernel are taken to 36 "frequencies" (`TO_TILE`,
`TO_KERNEL`), where a convolution is a product per frequency, summed over channels: 36 matrix products for all tiles at once. `FROM_TILE` leads
back. The gradients use the transposed matrices. In float32 it differs from a direct convolution by a few millionths of its size.

PyTorch has no such convolution with gradients. For CPUs without bfloat16 units: there, a step of ResNet-18 takes a quarter less.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

INPUT, OUTPUT, KERNEL = 6, 4, 3  # sides of a tile and of the kernel
FEWEST_CHANNELS = 64  # with fewer, moving the tiles costs more than the multiplications that are saved,
FEWEST_OUTSIDE = 256  # and with fewer than these, only the gradient of the weights gains: direct, it takes twice as long as the output
MOST_BYTES = 8 * 2**20  # of the tiles at work at once: they have to stay in the processor's cache

_TO_TILE = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_TO_KERNEL = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # over 24
_FROM_TILE = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def _both_ways(matrix: Sequence[Sequence[int]], divisor: int = 1) -> Tensor:
    """The matrix for rows and columns of a square at once, in float32."""
    one = torch.tensor(matrix, dtype=torch.float64) / divisor
    return torch.kron(one, one).float()


TO_TILE, TO_KERNEL, FROM_TILE = _both_ways(_TO_TILE), _both_ways(_TO_KERNEL, 24), _both_ways(_FROM_TILE)  # (36, 36), (36, 9), (16, 36)


def convolve(images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`conv2d(images, weight, bias, padding=1)` of float32 images (B, C, H, W) and weight (K, C, 3, 3) on a CPU; fastest in channels_last."""
    output: Tensor = _Convolution.apply(images, weight)
    return output if bias is None else output + bias[:, None, None]


def saves_multiplications(images: Tensor, weight: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> bool:
    """Whether `convolve` does the same as conv2d with these arguments, with at most half its multiplications."""
    if (
        weight.dtype != torch.float32
        or images.device.type != "cpu"
        or images.dim() != 4
        or groups != 1
        or weight.shape[2:] != (KERNEL, KERNEL)
    ):
        return False
    if min(weight.shape[:2]) < FEWEST_CHANNELS or any(_pair(value) != (1, 1) for value in (stride, padding, dilation)):
        return False
    height, width = images.shape[2:]
    return 2 * INPUT**2 * _tiles(height) * _tiles(width) <= KERNEL**2 * height * width


def share_saved(model: nn.Module, images: Tensor) -> float:
    """What part of all multiplications of convolutions `convolve` would take over, for images (B, C, H, W)."""
    with _Counting() as counted, torch.no_grad():
        model(images)
    return float(counted.taken / max(counted.seen, 1))


class WinogradConvolutions(TorchFunctionMode):
    """Inside it, every convolution that saves multiplications so is computed so, whoever calls it."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and not kwargs and saves_multiplications(*args[:2], *args[3:]):
            return convolve(*args[:3])
        return func(*args, **(kwargs or {}))


class _Counting(TorchFunctionMode):
    """How many multiplications convolutions need inside it, and how many of these are of those that save."""

    seen = taken = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is torch.conv2d and not kwargs:
            count = output[0, 0].numel() * args[1].numel()
            self.seen += count
            self.taken += count * saves_multiplications(*args[:2], *args[3:])
        return output


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        if _gains_only_weights(weight):
            return functional.conv2d(images, weight, padding=1)
        return _filtered(images, weight.permute(2, 3, 1, 0))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        of_images = of_weight = None
        if ctx.needs_input_grad[0] and _gains_only_weights(weight):
            of_images = conv2d_input(images.shape, weight, gradient, padding=1)
        elif ctx.needs_input_grad[0]:  # a convolution with the kernel turned round
            of_images = _filtered(gradient, weight.flip(2, 3).permute(2, 3, 0, 1))
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(images, gradient)
        return of_images, of_weight


def _gains_only_weights(weight: Tensor) -> bool:
    """Whether the output and the gradient of the input are sooner there without tiles."""
    return min(weight.shape[:2]) < FEWEST_OUTSIDE


def _filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """Of images (B, C, H, W) and a kernel (3, 3, C, K): (B, K, H, W), channels last."""
    (count, _, height, width), (*_, before, after) = images.shape, kernel.shape
    down, across = _tiles(height), _tiles(width)
    frequencies = (TO_KERNEL @ kernel.reshape(KERNEL**2, -1)).view(-1, before, after)
    whole = (count, after, OUTPUT * down, OUTPUT * across)
    output = torch.empty(whole, dtype=images.dtype, memory_format=torch.channels_last)
    squares = output.permute(0, 2, 3, 1).view(count, down, OUTPUT, across, OUTPUT, after)
    padded = _padded(images)
    for part in _parts(count, down * across * max(before, after)):
        products = torch.bmm(_input_tiles(padded[part]).transpose(0, 1), frequencies)  # (36, tiles, K)
        tiles = (FROM_TILE @ products.view(INPUT**2, -1)).view(OUTPUT, OUTPUT, -1, down, across, after)
        squares[part] = tiles.permute(2, 3, 0, 4, 1, 5)
    return output if whole[2:] == (height, width) else output[:, :, :height, :width].clone(memory_format=torch.channels_last)


def _weight_gradient(images: Tensor, gradient: Tensor) -> Tensor:
    """Of images (B, C, H, W) and the output's gradient (B, K, H, W): (K, C, 3, 3)."""
    (count, before, height, width), after = images.shape, gradient.shape[1]
    down, across = _tiles(height), _tiles(width)
    padded = _padded(images)
    rest = (0, 0, 0, OUTPUT * across - width, 0, OUTPUT * down - height)
    squares = functional.pad(gradient.permute(0, 2, 3, 1), rest).view(count, down, OUTPUT, across, OUTPUT, after).permute(0, 1, 3, 2, 4, 5)
    frequencies = images.new_zeros(INPUT**2, before, after)
    for part in _parts(count, down * across * max(before, after)):
        output_tiles = FROM_TILE.T @ squares[part].reshape(-1, OUTPUT**2, after)
        torch.baddbmm(frequencies, _input_tiles(padded[part]).permute(1, 2, 0), output_tiles.transpose(0, 1), out=frequencies)
    return (TO_KERNEL.T @ frequencies.view(INPUT**2, -1)).view(KERNEL, KERNEL, before, after).permute(3, 2, 0, 1)


def _input_tiles(padded: Tensor) -> Tensor:
    """The frequencies of every tile of padded images (B, H, W, C): (tiles, 36, C)."""
    tiles = padded.unfold(1, INPUT, OUTPUT).unfold(2, INPUT, OUTPUT).permute(0, 1, 2, 4, 5, 3)
    return TO_TILE @ tiles.reshape(-1, INPUT**2, padded.shape[-1])


def _padded(images: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H', W', C): a border of zeros, and more of them until the tiles cover it."""
    height, width = images.shape[2:]
    border = (0, 0, 1, OUTPUT * _tiles(width) + 1 - width, 1, OUTPUT * _tiles(height) + 1 - height)
    return functional.pad(images.permute(0, 2, 3, 1), border)


def _tiles(side: int) -> int:
    return -(-side // OUTPUT)


def _parts(count: int, numbers: int) -> Iterator[slice]:
    """The images some at a time; `numbers` is tiles times channels of one."""
    some = max(1, MOST_BYTES // (4 * INPUT**2 * numbers))
    return (slice(start, start + some) for start in range(0, count, some))


def _pair(value: Any) -> tuple[Any, ...]:
    return (value, value) if isinstance(value, int | str) else tuple(value)
