"""Signals stay with pytest; a store that is looked at after every step."""

import pytest

from resnet_core.runs import worker


@pytest.fixture(autouse=True)
def _signals_stay_with_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda number, handler: None)


@pytest.fixture
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.0)
