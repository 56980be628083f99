"""The two small linear fits inside LIME and KernelShap, in place of scikit-learn's, which a web server would pay for with 150 MB.

The tests compare both with scikit-learn's.
"""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROUNDS, TOLERANCE = 1000, 1e-6  # of the coordinate descent: sweeps at most, and the change that ends it, as a share of the largest weight
Array = NDArray[np.float64]


def least_squares(features: Array, answers: Array, weights: Array) -> Array:
    """Coefficients (F,) of the weighted fit with a free intercept; the shortest ones where several fit."""
    x, y = _centred(features, answers, weights)
    root = np.sqrt(weights)
    return np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0].astype(np.float64)


def lasso(features: Array, answers: Array, weights: Array, alpha: float) -> Array:
    """Coefficients (F,) that minimise the weighted mean of squares / 2 + alpha |coefficients|, with a free intercept (Tibshirani 1996)."""
    x, y = _centred(features, answers, weights)
    shares = weights / weights.sum()
    gram, target = (x * shares[:, None]).T @ x, (x * shares[:, None]).T @ y
    found = np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        before = found.copy()
        for place in np.flatnonzero(gram.diagonal()):
            pull = target[place] - gram[place] @ found + gram[place, place] * found[place]
            found[place] = np.sign(pull) * max(abs(pull) - alpha, 0.0) / gram[place, place]
        if np.abs(found - before).max() <= TOLERANCE * np.abs(found).max():
            break
    return found


def _centred(features: Array, answers: Array, weights: Array) -> tuple[Array, Array]:
    return features - np.average(features, axis=0, weights=weights), answers - np.average(answers, weights=weights)


class LinearFit:
    """What Captum asks of an interpretable model: to be fitted on batches of (features, answers, weights), and its coefficients (1, F)."""

    def __init__(self, alpha: float | None = None) -> None:
        self.alpha = alpha
        self._found = torch.zeros(1, 0)

    def fit(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        parts = [torch.cat(several).double().cpu().numpy() for several in zip(*batches, strict=True)]
        features, answers, weights = parts[0], parts[1].ravel(), parts[2].ravel()
        found = least_squares(features, answers, weights) if self.alpha is None else lasso(features, answers, weights, self.alpha)
        self._found = torch.from_numpy(found).float().unsqueeze(0)

    def representation(self) -> Tensor:
        return self._found
