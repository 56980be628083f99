"""Whether a network that is 90% sure is right in 90 of 100 such cases (Guo et al. 2017, arXiv:1706.04599)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15  # Guo et al. 2017


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Answers whose probability lies in (low, high]: how many, how sure they were, how often right; nan where there are none."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """`ece` is the expected calibration error: the gap between confidence and accuracy, averaged over all answers."""

    bins: tuple[ReliabilityBin, ...]
    ece: float


def calibration(confidence: NDArray[np.floating], right: NDArray[np.bool_], *, bins: int = BINS) -> Calibration:
    """Of answers with these probabilities (n,), which were right or not, in bins of equal width."""
    confidence = confidence.astype(np.float64)
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        sure = np.bincount(places, confidence, bins) / counts
        hits = np.bincount(places, right.astype(np.float64), bins) / counts
    gaps = np.abs(sure - hits)[counts > 0]
    rows = tuple(
        ReliabilityBin(low=i / bins, high=(i + 1) / bins, count=int(counts[i]), confidence=float(sure[i]), accuracy=float(hits[i]))
        for i in range(bins)
    )
    return Calibration(bins=rows, ece=float((gaps * counts[counts > 0]).sum() / max(1, len(confidence))))
