"""How far a network's probabilities can be believed: temperature scaling, and the error that remains.

Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599: one number T, fitted on validation images, divides the logits.
It moves no answer, only how sure the network says it is.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOWEST, HIGHEST = 0.1, 10.0  # of T: a network without an error on its validation images would ask for 0
LEAST_IMAGES = 100  # with fewer, one error more or less would decide
BINS = 15  # as in the paper
TINY = 1e-300  # instead of a probability that float64 calls 0


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float | None:
    """T under which the labels (n,) are likeliest given logits (n, K) / T; None with fewer than LEAST_IMAGES.

    In 1 / T the loss is convex and its slope is the mean of E[logit] - logit of the label, so its root is found by halving.
    """
    scores, truth = np.asarray(logits, np.float64), np.asarray(labels)
    if len(truth) < LEAST_IMAGES:
        return None
    wanted = scores[np.arange(len(truth)), truth].mean()
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(50):
        middle = (low * high) ** 0.5
        expected = (probabilities(scores, 1 / middle) * scores).sum(1).mean()
        low, high = (middle, high) if expected < wanted else (low, middle)
    return float(1 / (low * high) ** 0.5)


def probabilities(logits: ArrayLike, temperature: float | None = None) -> NDArray[np.float64]:
    """softmax(logits / T) over the last axis; T = 1 where none was fitted."""
    scores = np.asarray(logits, np.float64) / (temperature or 1.0)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return result


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Answers whose probability lies in (low, high]: how many, how sure they were, how often right; nan where there are none."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """`error` is the expected calibration error: the gap between confidence and accuracy, averaged over all answers."""

    bins: tuple[ReliabilityBin, ...]
    error: float


def reliability(confidence: NDArray[np.floating], right: NDArray[np.bool_], *, bins: int = BINS) -> Reliability:
    """Of answers with these probabilities (n,), which were right or not, in bins of equal width; nan and no bins where one is not finite."""
    confidence = confidence.astype(np.float64)
    if not np.isfinite(confidence).all():  # a network whose weights are not finite: it is sure of nothing
        return Reliability(bins=(), error=math.nan)
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
    return Reliability(bins=rows, error=float((gaps * counts[counts > 0]).sum() / max(1, len(confidence))))


def calibration_error(confidences: NDArray[np.float64], labels: ArrayLike) -> float:
    """`reliability`'s error of probabilities (n, K)."""
    return reliability(confidences.max(1), confidences.argmax(1) == np.asarray(labels)).error


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Of one network on a set of images: expected calibration error and loss as it is (T = 1), and with its temperature if it has one."""

    temperature: float | None
    error: float
    loss: float
    calibrated_error: float
    calibrated_loss: float


def judge_confidence(logits: ArrayLike, labels: ArrayLike, temperature: float | None) -> Calibration:
    """Measured on these logits (n, K) and labels (n,)."""
    truth = np.asarray(labels)
    plain, scaled = probabilities(logits), probabilities(logits, temperature)
    rows = np.arange(len(truth))
    return Calibration(
        temperature=temperature,
        error=calibration_error(plain, truth),
        loss=float(-np.log(np.maximum(plain[rows, truth], TINY)).mean()),
        calibrated_error=calibration_error(scaled, truth),
        calibrated_loss=float(-np.log(np.maximum(scaled[rows, truth], TINY)).mean()),
    )
