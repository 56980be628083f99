"""A page that is drawn takes cores from a training that needs them."""

import os
from pathlib import Path

import pytest

from dashboard.components.polling import OFTEN, SELDOM, seconds_between_looks
from resnet_core.config import RunConfig
from resnet_core.runs import Run, Store


def run(device: str, *, ended: bool = False) -> Run:
    store = Store()
    found = store.create(RunConfig.from_flat({"model": "resnet8"}), device)
    if ended:
        store.send(found.run, "stop")
    return store.run(found.run)


@pytest.mark.parametrize(
    ("device", "cores", "ended", "seconds"),
    [("cpu", 2, False, SELDOM), ("cpu", 64, False, OFTEN), ("cuda", 2, False, OFTEN), ("cpu", 2, True, OFTEN)],
)
def test_a_training_that_needs_all_of_a_few_cores_is_looked_at_half_as_often(
    own_runs: Path, monkeypatch: pytest.MonkeyPatch, device: str, cores: int, ended: bool, seconds: float
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert seconds_between_looks([run(device, ended=ended)]) == seconds
