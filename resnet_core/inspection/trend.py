"""Do gradients vanish, explode, or arrive? The words for a row of gradient norms from the first block to the last.

Never from one number alone: a verdict needs the ratio between the ends, how fast it builds up per block, and that most blocks agree.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

LEANING = 1.0  # |log10 of first / last|: from here on the ends differ by a factor of 10
EXTREME = 2.0  # a factor of 100, which counts where it builds up geometrically
HOPELESS = 4.0  # a factor of 10,000, however slowly it builds up
GEOMETRIC = 0.1  # |log10| per block: 26% more or less with every block, so it goes on with depth
MOST = 2 / 3  # share of the steps from block to block that go the verdict's way


@dataclass(frozen=True, kw_only=True)
class GradientTrend:
    """What the norms of the gradients at the blocks' inputs do on their way back. `verdict` is one of `VERDICTS`.

    `log_ratio` = log10(first block / last block): above 0 gradients grow on the way back, below 0 they shrink; None where there are
    fewer than two blocks or an end is 0 or not finite. `per_block` is that divided by the steps between the ends; `agreeing` the share
    of steps that go the same way as the whole.
    """

    verdict: str
    log_ratio: float | None
    per_block: float | None
    agreeing: float | None


VERDICTS = ("healthy", "leaning_up", "leaning_down", "exploding", "vanishing", "zero", "not_finite", "too_short")


def log_ratio(first: float, last: float) -> float | None:
    """log10(first / last), None where it does not exist."""
    exists = first > 0 and last > 0 and math.isfinite(first) and math.isfinite(last)
    return math.log10(first) - math.log10(last) if exists else None


def gradient_trend(norms: Sequence[float]) -> GradientTrend:
    """The trend of norms given in the order of the forward pass."""
    if not all(math.isfinite(norm) for norm in norms):
        return GradientTrend(verdict="not_finite", log_ratio=None, per_block=None, agreeing=None)
    if len(norms) < 2:
        return GradientTrend(verdict="too_short", log_ratio=None, per_block=None, agreeing=None)
    whole = log_ratio(norms[0], norms[-1])
    if whole is None:  # what is 0 at some block is 0 in all before it
        return GradientTrend(verdict="vanishing" if norms[-1] > 0 else "zero", log_ratio=None, per_block=None, agreeing=None)
    steps = len(norms) - 1
    agreeing = sum((earlier - later) * whole > 0 for earlier, later in itertools.pairwise(norms)) / steps
    per_block = whole / steps
    return GradientTrend(verdict=_verdict(whole, per_block, agreeing), log_ratio=whole, per_block=per_block, agreeing=agreeing)


def _verdict(whole: float, per_block: float, agreeing: float) -> str:
    extreme = abs(whole) >= HOPELESS or (abs(whole) >= EXTREME and abs(per_block) >= GEOMETRIC)
    if extreme and agreeing >= MOST:
        return "exploding" if whole > 0 else "vanishing"
    if abs(whole) >= LEANING:
        return "leaning_up" if whole > 0 else "leaning_down"
    return "healthy"
