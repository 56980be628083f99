"""How alike two maps are: by the order of their pixels, and by where their strongest ones lie."""

import math

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.floating]
TOP = 0.05  # share of pixels that count as strongest


def ranks(values: Map) -> NDArray[np.float64]:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: NDArray[np.float64] = (ends - (counts + 1) / 2)[inverse.ravel()]
    return means


def spearman(one: Map, other: Map) -> float:
    """Rank correlation over all elements; nan where one of them is the same everywhere and has no order."""
    a, b = ranks(one), ranks(other)
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan


def places(values: Map) -> NDArray[np.float64]:
    """(C, H, W) -> (H, W): the sum over channels."""
    summed: NDArray[np.float64] = values.sum(0, dtype=np.float64)
    return summed


def strongest(values: Map, share: float = TOP) -> NDArray[np.bool_]:
    """The pixels (H, W) with the largest size, at least one; of equal ones the first. None where all are 0."""
    size = np.abs(places(values))
    chosen = np.zeros(size.size, dtype=bool)
    chosen[np.argsort(-size, axis=None, kind="stable")[: max(1, round(share * size.size))]] = True
    return chosen.reshape(size.shape) & (size > 0)


def overlap(one: Map, other: Map, share: float = TOP) -> float:
    """Of the strongest pixels of both, the share that both have (intersection over union); nan where neither has any."""
    a, b = strongest(one, share), strongest(other, share)
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else math.nan
