"""How much of the image one position sees.

The receptive field of a step is the side of the square of input pixels that can reach one position of its output: a window of k pixels
adds (k - 1) x the distance between positions (Araujo et al. 2019, distill.pub/2019/computing-receptive-fields). Where paths meet, the
widest one counts. None stands for the whole image: behind a global pooling, a flattening, an attention over all positions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resnet_core.models.operations import pair, window

WHOLE = (math.inf, math.inf)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Pixels of the input that reach one position, and pixels between neighbouring positions; both down and across."""

    size: tuple[float, float] = (1.0, 1.0)
    jump: tuple[float, float] = (1.0, 1.0)

    def through(self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)) -> "Reach":
        size = tuple(s + (k - 1) * d * j for s, j, k, d in zip(self.size, self.jump, pair(kernel), pair(dilation), strict=True))
        jump = tuple(j * s for j, s in zip(self.jump, pair(stride), strict=True))
        return Reach(size=(size[0], size[1]), jump=(jump[0], jump[1]))

    @property
    def pixels(self) -> int | None:
        widest = max(self.size)
        return None if math.isinf(widest) else int(widest)


def reach_after(name: str, args: Any, reaches: list[Reach], output: Tensor, side: int) -> Reach:
    """What a position of the result sees; `side` is the image's, for attention over all of it."""
    reach = _widest(reaches)
    shape = tuple(args[0].shape) if isinstance(args[0], Tensor) else ()
    if name == "convolution":
        return reach.through(args[1].shape[2:], args[3], args[5])
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        kernel, stride, _ = window(name, args)
        return reach.through(kernel, stride)
    if name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d", "mean"):
        return _pooled(reach, shape, tuple(output.shape))
    if name in ("view", "_unsafe_view", "reshape"):
        flattens = len(shape) == 4 and output.ndim == 2 and output.shape[0] == shape[0] and shape[2] * shape[3] > 1
        return Reach(size=WHOLE, jump=reach.jump) if flattens else reach
    if name == "slice" and len(args) > 4 and args[4] > 1:  # every second row, then every second column
        axis = 0 if reach.jump[0] <= reach.jump[1] else 1
        return reach.through((1, 1), (args[4], 1) if axis == 0 else (1, args[4]))
    if (
        name == "bmm" and len(reaches) > 1 and shape[-1] == shape[-2]
    ):  # weights of n positions x values; before it, queries x keys mix nothing
        return _attended(reach, shape[-1], side)
    if "scaled_dot_product" in name:
        return _attended(reach, int(args[1].shape[-2]), side)
    return reach


def _widest(reaches: Sequence[Reach]) -> Reach:
    return Reach(
        size=(max(r.size[0] for r in reaches), max(r.size[1] for r in reaches)),
        jump=(max(r.jump[0] for r in reaches), max(r.jump[1] for r in reaches)),
    )


def _pooled(reach: Reach, before: tuple[int, ...], after: tuple[int, ...]) -> Reach:
    """An adaptive pooling or a mean; over all positions it sees the whole image."""
    if len(before) != 4:
        return Reach(size=WHOLE, jump=reach.jump) if len(before) == 3 and len(after) < 3 else reach
    if len(after) < 4 or after[2] * after[3] == 1:
        return Reach(size=WHOLE, jump=reach.jump)
    windows = tuple(math.ceil(before[i] / after[i]) for i in (2, 3))
    return reach.through(windows, windows)


def _attended(reach: Reach, tokens: int, side: int) -> Reach:
    """Attention over all positions sees everything; over windows of w x w positions (Swin) it sees the window."""
    everywhere = math.ceil(side / reach.jump[0]) * math.ceil(side / reach.jump[1])
    if tokens >= everywhere:
        return Reach(size=WHOLE, jump=reach.jump)
    return reach.through((math.isqrt(tokens),) * 2, (1, 1))
