"""A few random images and the config of a tiny network that trains on them in milliseconds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from resnet_core.config import RunConfig
from resnet_core.data.spec import DataSpec, Split, Splits
from resnet_core.training import Training

SPEC = DataSpec(name="test", channels=1, height=10, width=10, classes=tuple("0123"), mean=(0.5,), std=(0.29,))
TINY = {
    "model": "resnet8", "width": 0.5, "epochs": 3, "batch_size": 16, "learning_rate": 0.05, "precision": "float32", "memory_format": "contiguous",
}  # fmt: skip


def random_split(count: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(
        images=torch.randint(0, 256, (count, 1, 10, 10), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, 4, (count,), generator=generator),
    )


@pytest.fixture
def splits() -> Splits:
    """50 images to train on (three batches of 16 and one of 2), 20 to validate."""
    return Splits(spec=SPEC, train=random_split(50, 1), valid=random_split(20, 2), load_test=lambda: random_split(20, 3))


@pytest.fixture
def config() -> Callable[..., RunConfig]:
    """config(epochs=5, ...): the tiny network with single settings changed."""

    def make(**changes: Any) -> RunConfig:
        return RunConfig.from_flat({**TINY, **changes})

    return make


@pytest.fixture
def start(splits: Splits, config: Callable[..., RunConfig]) -> Callable[..., Training]:
    """start(epochs=5, ...): a Training on the CPU."""

    def make(**changes: Any) -> Training:
        return Training(config(**changes), splits, device=torch.device("cpu"))

    return make
