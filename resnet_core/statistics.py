"""Whether two measured shares differ for a reason or by chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL_95 = 1.959963984540054  # the 97.5% point of the normal distribution
DRAWS = 2000  # of a bootstrap
FEWEST = 20  # values for one: from fewer it is too narrow, and "95%" of two values hold the truth in 52% of cases


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A measured value and where the true one is believed to be, with 95% confidence."""

    value: float
    low: float
    high: float


def wilson_interval(right: int, n: int, z: float = NORMAL_95) -> Interval:
    """Of a share (Wilson 1927): stays inside [0, 1] and has a width at 0 and at n of n too; (0, 1) for no images."""
    if n == 0:
        return Interval(value=math.nan, low=0.0, high=1.0)
    share, square = right / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return Interval(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """The same images, two networks: only those count that exactly one of them gets right. `p` is two-sided and exact."""

    only_a: int
    only_b: int
    p: float

    @property
    def is_real(self) -> bool:
        """Whether chance alone would give such a difference in fewer than 5% of test sets."""
        return self.p < 0.05


def mcnemar(a_right: NDArray[np.bool_], b_right: NDArray[np.bool_]) -> McNemar:
    """The binomial test of McNemar 1947, exact for any number of images: no approximation is needed where integers are long enough."""
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    return McNemar(only_a=only_a, only_b=only_b, p=_two_sided(min(only_a, only_b), only_a + only_b))


def _two_sided(fewer: int, n: int) -> float:
    """P of a split at least as uneven as fewer : n - fewer when a fair coin decides."""
    ways, term = 0, 1
    for taken in range(fewer + 1):
        ways += term  # n choose taken
        term = term * (n - taken) // (taken + 1)
    return min(1.0, 2 * ways / (1 << n))  # whole numbers of any length, divided once


def bootstrap_interval(values: Sequence[float] | NDArray[np.floating], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Of the mean over images, by drawing images again with replacement (Efron 1979). Not finite values are left out.

    `low` and `high` are NaN for fewer than FEWEST images.
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[np.isfinite(kept)]
    if len(kept) < FEWEST:
        return Interval(value=float(kept.mean()) if len(kept) else math.nan, low=math.nan, high=math.nan)
    generator = np.random.default_rng(seed)
    means = [
        kept[generator.integers(len(kept), size=len(kept))].mean() for _ in range(draws)
    ]  # all at once would take 16 bytes x draws x n
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(value=float(kept.mean()), low=float(low), high=float(high))
