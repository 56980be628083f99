"""Feature maps side by side: what the browser gets is what was measured, on one scale."""

import base64
from typing import Any

import numpy as np
import pytest

from dashboard.components.linked_maps import MapPanel, Reading, maps_data, sheet_columns, tiled

BIG = np.arange(16, dtype=np.float32).reshape(4, 4) - 10
SMALL = np.array([[1.0, -2.0], [3.0, 0.5]], dtype=np.float32)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.i18n.current_language", lambda: "en")


def data_of(*panels: MapPanel) -> dict[str, Any]:
    return maps_data(panels, Reading(where="mean"), place="here", alt="", height=200, file="maps.png")


def numbers(panel: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(panel["values"]), "<f4").reshape(panel["rows"], panel["columns"])


def test_all_panels_share_one_scale_and_keep_their_numbers() -> None:
    data = data_of(MapPanel(title="a", values=BIG), MapPanel(title="b", values=SMALL.astype(np.float64)))
    assert data["limit"] == 10
    assert np.array_equal(numbers(data["panels"][0]), BIG)
    assert np.array_equal(numbers(data["panels"][1]), SMALL)


def test_a_missing_map_says_why_in_the_shape_of_the_others() -> None:
    missing, _ = data_of(MapPanel(title="a", values=None, note="no shortcut"), MapPanel(title="b", values=SMALL))["panels"]
    assert (missing["values"], missing["note"], missing["rows"], missing["columns"]) == (None, "no shortcut", 2, 2)


def test_nothing_but_zeros_and_nothing_at_all_have_a_scale() -> None:
    assert data_of(MapPanel(title="a", values=np.zeros((3, 3))))["limit"] == 1
    assert data_of(MapPanel(title="a", values=None, note="-"))["limit"] == 1


@pytest.mark.parametrize("count", [1, 3, 16, 17])
def test_a_sheet_holds_every_channel_where_the_cursor_looks_for_it(count: int) -> None:
    channels = np.random.default_rng(0).normal(size=(count, 2, 3)).astype(np.float32)
    sheet, across = tiled(channels), sheet_columns(count)
    for row, column in zip(*np.nonzero(np.isfinite(sheet)), strict=True):
        number = row // 3 * across + column // 4
        assert sheet[row, column] == channels[number, row % 3, column % 4]
    assert np.isfinite(sheet).sum() == channels.size
