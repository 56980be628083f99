"""A GPU works ahead of Python as long as nobody asks it for a number. What would ask is seen on the CPU as well: the same operations run."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_core.training import BlocksMeasured, StepDone, Training
from resnet_core.training.loop import GPU_RING

ASKS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")  # operations whose result Python needs at once
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "augmented": {"rotation": 20, "elastic": 1, "thickness": 1, "crop_padding": 1, "flip": True, "jitter": 0.2, "erase_p": 0.5, "cutout": 3, "mixup": 0.4},
    "regularised": {"label_smoothing": 0.1, "clip_norm": 0.5, "ema_decay": 0.9, "stochastic_depth": 0.2, "warmup_epochs": 0.5},
    "frozen": {"freeze_epochs": 1},
}  # fmt: skip


class Asked(TorchDispatchMode):
    """Counts operations that would make a GPU's queue run dry."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(func.__name__.startswith(name) for name in ASKS):
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_step_asks_the_device_for_nothing(start: Callable[..., Training], recipe: dict[str, Any]) -> None:
    training = start(optimizer="sgd", **recipe)
    training._train_mode()
    indices = torch.arange(16)
    pixels = training.train_split.images[indices]
    with Asked() as before:
        training._update(indices, pixels)
    assert before.names == ["_local_scalar_dense.default"], (
        "on a CPU the loss is looked at before the weights are touched; otherwise this test shows nothing"
    )
    training.ring_size = GPU_RING
    with Asked() as asked:
        for _ in range(2):
            training._update(indices, pixels)
    assert asked.names == []


def test_a_recording_finds_all_steps_told_and_counts_no_time_of_theirs(start: Callable[..., Training]) -> None:
    """Whoever stops at a recording has saved every step before it."""
    training = start(epochs=1, probe_every=3)
    training.ring_size = GPU_RING
    events = [event for event in training.events() if isinstance(event, StepDone | BlocksMeasured)]
    assert [(type(event).__name__, event.step) for event in events] == [
        ("BlocksMeasured", 0), ("StepDone", 1), ("StepDone", 2), ("StepDone", 3), ("BlocksMeasured", 3), ("StepDone", 4),
    ]  # fmt: skip


def test_numbers_are_fetched_once_for_several_steps(start: Callable[..., Training]) -> None:
    """With a ring of ten, an epoch of four steps tells of all of them at its end."""
    training = start(epochs=1)
    training.ring_size = GPU_RING
    seen: list[tuple[int, int]] = [(event.step, training.step) for event in training.events() if isinstance(event, StepDone)]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
