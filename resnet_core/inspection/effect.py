"""What F does to the shortcut in one block for one image, channel by channel and position by position."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_core.inspection.residual import BlockMaps, BlockStatistics


@dataclass(frozen=True, kw_only=True)
class ChannelMeasures:
    """One number per channel (C,). `residual_norm` = |F|, `change` = |y - s| with y the block's output, `cancelled` = the sum of
    min(|F|, |s|) where the two have opposite signs. The last two are None in a plain block."""

    residual_norm: NDArray[np.float32]
    change: NDArray[np.float32] | None
    cancelled: NDArray[np.float32] | None


@dataclass(frozen=True, kw_only=True)
class PositionShares:
    """Shares of all positions (C, H, W), adding up to 1. `cancels`: F against the sign of the shortcut; `amplifies`: with it;
    `adds`: the shortcut is 0 and the output is not; `nothing`: the rest, where both or the output stay 0."""

    cancels: float
    amplifies: float
    adds: float
    nothing: float


def channel_measures(maps: BlockMaps) -> ChannelMeasures:
    residual = maps.residual
    norm = _norm(residual)
    if maps.shortcut is None:
        return ChannelMeasures(residual_norm=norm, change=None, cancelled=None)
    opposite = residual * maps.shortcut < 0
    smaller = np.minimum(np.abs(residual), np.abs(maps.shortcut))
    return ChannelMeasures(
        residual_norm=norm,
        change=_norm(maps.output - maps.shortcut),
        cancelled=np.where(opposite, smaller, 0).sum((1, 2), dtype=np.float32),
    )


def position_shares(maps: BlockMaps) -> PositionShares | None:
    """None in a plain block, where there is nothing to cancel."""
    if maps.shortcut is None:
        return None
    product = np.sign(maps.residual) * np.sign(maps.shortcut)
    cancels, amplifies = float((product < 0).mean()), float((product > 0).mean())
    adds = float(((maps.shortcut == 0) & (maps.output != 0)).mean())
    return PositionShares(cancels=cancels, amplifies=amplifies, adds=adds, nothing=max(0.0, 1 - cancels - amplifies - adds))


def inverse_root_line(blocks: Sequence[BlockStatistics]) -> tuple[float | None, ...]:
    """c / sqrt(l) for the l-th block of each stage, c from the geometric mean of the stage's ratios; None without shortcuts.

    At initialisation normalised branches keep the size of F while the shortcut's variance grows by one branch per block, so that the
    ratio falls like this inside a stage (De and Smith 2020, arXiv:2002.10444).
    """
    line: list[float | None] = []
    for _, members in itertools.groupby(blocks, key=lambda block: block.stage):
        ratios = [block.ratio for block in members]
        logs = [math.log(ratio) + math.log(place) / 2 for place, ratio in enumerate(ratios, start=1) if ratio]
        scale = math.exp(sum(logs) / len(logs)) if logs else None
        line += [None if scale is None else scale / math.sqrt(place) for place in range(1, len(ratios) + 1)]
    return tuple(line)


def _norm(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.sqrt(np.square(channels).sum((1, 2), dtype=np.float32))  # (C, H, W) -> (C,)
    return norms
