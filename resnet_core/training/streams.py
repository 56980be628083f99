"""The random streams of a training: each a function of the seed and a place, never a state that flows along.

The data order of an epoch and the augmentation of a step are drawn from generators seeded for that epoch or step. So a resumed training
repeats what an unbroken one would have done, and two networks with one seed see the same images in the same order.
"""

import torch
from torch import Tensor

ORDER, CHANGES, MIXTURE, DROPS = 1, 2, 3, 4  # what a training draws


def seeded(seed: int, *place: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one place of a training (what, epoch or step); the same place always gives the same stream."""
    mixed = seed
    for number in place:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator(device).manual_seed(mixed)


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """Indices (count,) in the order in which this epoch (from 1) visits them: the same for every network with this seed."""
    return torch.randperm(count, generator=seeded(seed, ORDER, epoch))


def steps_per_epoch(count: int, batch_size: int) -> int:
    """The last batch may be smaller; a single left-over image is left out, since BatchNorm cannot use it."""
    return max(count // batch_size + (count % batch_size > 1), 1)
