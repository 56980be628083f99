"""The canvas is patched, networks are as they are drawn from their seed: no browser, no training."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard.sketch_input import Drawing
from tests.pages.sketch.drawing import add_run


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks without their familiarity learn it from these, in a moment; nobody goes on learning after a test."""
    monkeypatch.setattr("resnet_core.familiarity.REFERENCES", 60)
    monkeypatch.setattr("resnet_core.familiarity.CALIBRATION", 60)
    yield
    for thread in threading.enumerate():
        if thread.name == "measurement":
            thread.join(60)


@pytest.fixture
def networks(shipped: Path) -> dict[str, str]:
    """Two networks for digits: name -> run."""
    return {"My plain one": add_run("plain8", "mnist-mini", "My plain one"), "My ResNet": add_run("resnet8", "mnist-mini", "My ResNet")}


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[[Drawing], None]:
    """`draw(DRAWN)`: what the canvas holds from now on."""
    return lambda drawing: monkeypatch.setattr("dashboard.components.sketch.sources.show_canvas", lambda brush: drawing)
