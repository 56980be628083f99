"""Which training images are kept for validation: stratified, seeded, and the same on every machine."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_core.config import DataConfig
from resnet_core.errors import UserError


def split_indices(labels: Tensor, config: DataConfig, name: str) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation images, disjoint and in the data set's own order.

    Validation is cut first, so it stays the same whatever `train_limit` leaves of the rest for training.
    """
    by_class = _shuffled_classes(labels.numpy(), config.split_seed)
    counts = np.array([len(indices) for indices in by_class])
    if counts.max(initial=0) < 2:
        raise UserError("too_few_images", name=name, count=len(labels), split="train", need=2)
    wanted = proportional(counts, round(len(labels) * config.valid_fraction))
    kept = np.clip(wanted, np.minimum(counts - 1, 1), counts - 1)  # of two images or more, one goes to each side
    rest = counts - kept
    used = rest if config.train_limit is None else proportional(rest, config.train_limit)
    valid = [indices[:n] for indices, n in zip(by_class, kept, strict=True)]
    train = [indices[n : n + m] for indices, n, m in zip(by_class, kept, used, strict=True)]
    return _in_order(train), _in_order(valid)


def some_images(available: int, count: int, seed: int) -> Tensor:
    """Indices of `count` different images (all, where there are fewer), drawn by the seed, in the data set's own order."""
    drawn = np.random.default_rng(seed).permutation(available)[:count]
    return torch.from_numpy(np.sort(drawn))


def spread(available: int, count: int) -> Tensor:
    """Indices of at most `count` images, evenly over a split: one that was read from folders is sorted by class."""
    return torch.from_numpy(np.linspace(0, available - 1, min(count, available)).round().astype(np.int64))


def proportional(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """`total` shared out in proportion to `counts`: whole numbers, none above its count (largest remainder)."""
    whole = int(counts.sum())
    if total >= whole:
        return counts
    exact = counts * total / whole
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    most_left = np.argsort(shares - exact, kind="stable")[: total - shares.sum()]
    shares[most_left] += 1
    return shares


def _shuffled_classes(labels: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    return [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _in_order(parts: list[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.sort(np.concatenate(parts)))
