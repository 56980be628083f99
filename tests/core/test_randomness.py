"""Libraries draw from the process's own generators; one thread at a time, and nobody notices."""

import threading

import numpy as np
import torch

from resnet_core.config import ModelConfig
from resnet_core.models import build_model
from resnet_core.randomness import drawing_from
from tests.core.inspection.conftest import SPEC


def draws(count: int) -> list[float]:
    return [float(torch.rand(()) + np.random.random()) for _ in range(count)]


def test_the_same_seed_draws_the_same_and_leaves_no_trace() -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    with drawing_from(3):
        first = draws(4)
    with drawing_from(3):
        assert draws(4) == first
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_networks_are_built_while_somebody_draws() -> None:
    """A network moves the generator while it is built; whoever draws in another thread at that moment must not see it."""
    config = ModelConfig(model="lenet5")
    small = SPEC.__class__(**{**SPEC.to_dict(), "height": 28, "width": 28})
    alone = build_model(config, small, seed=5).state_dict()
    with drawing_from(1):
        expected = draws(20_000)
    built, ready, over = [], threading.Event(), threading.Event()

    def build() -> None:
        ready.wait()
        while not over.is_set() or not built:
            built.append(build_model(config, small, seed=5).state_dict())

    builder = threading.Thread(target=build)
    builder.start()
    found = []
    for _ in range(3):
        with drawing_from(1):
            ready.set()
            found.append(draws(20_000))
    over.set()
    builder.join()
    assert all(one == expected for one in found)
    assert all(torch.equal(state[name], tensor) for state in built for name, tensor in alone.items())
