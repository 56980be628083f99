"""Feature maps side by side on one scale, with one zoom and one cursor for all of them and the numbers under it in words.

Drawn by the browser on canvases from the numbers themselves: a sheet of all channels takes as long as one map, and what stands under the
cursor is written where it is needed instead of being sent for every pixel.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.bootstrap import ASSETS
from dashboard.charts.theme import DIVERGING, symmetric_limit
from dashboard.i18n import t

Array = NDArray[np.floating[Any]]

_BUTTON = '<button class="{name}" type="button"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="{path}"/></svg></button>'
_WHOLE = _BUTTON.format(name="whole", path="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4")
_PICTURE = _BUTTON.format(name="picture", path="M8 2v8M4.5 7 8 10.5 11.5 7M2 13.5h12")
_HTML = f"""
<div class="maps" tabindex="0" role="group">
  <div class="panels"></div>
  <div class="scale"><span class="title"></span><span class="colours"></span><span class="ticks"></span></div>
  <div class="said" aria-live="polite"></div>
  <div class="tools">{_WHOLE}{_PICTURE}</div>
</div>
"""
_component = st.components.v2.component(
    "residual_lens_linked_maps",
    html=_HTML,
    css=(ASSETS / "linked_maps.css").read_text(encoding="utf-8"),
    js=(ASSETS / "linked_maps.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, kw_only=True)
class MapPanel:
    """One picture: values (H, W), or None with a `note` that says why there is nothing (a plain network has no shortcut).

    `tile` is (height, width, channels in a row) where the values are a sheet of all channels.
    """

    title: str
    values: Array | None
    note: str = ""
    tile: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the numbers under the cursor are said. `where` stands before the place (or before a sheet's channel number). With `first`
    the four panels are a sum and what becomes of it: first + F = z, `then` y; without it each panel's number stands by itself."""

    where: str
    first: str | None = None
    then: str | None = None


def linked_maps(panels: Sequence[MapPanel], reading: Reading, *, key: str, place: str, alt: str, height: int, file: str) -> None:
    """All panels in a row on one scale that is symmetric around 0. Zoom and cursor stay while `place` stays the same."""
    _component(key=key, data=maps_data(panels, reading, place=place, alt=alt, height=height, file=file))


def maps_data(panels: Sequence[MapPanel], reading: Reading, *, place: str, alt: str, height: int, file: str) -> dict[str, Any]:
    """What the browser is given: numbers as float32 in base64, the scale, and every word."""
    return {
        "panels": [_panel(panel, panels) for panel in panels],
        "limit": symmetric_limit([panel.values for panel in panels if panel.values is not None]),
        "stops": [list(stop) for stop in DIVERGING],
        "sum": reading.first is not None,
        "place": place,
        "alt": alt,
        "height": height,
        "file": file,
        "words": {
            "value": t("blocks.activation"),
            "where": reading.where,
            "first": reading.first,
            "relu": reading.then,
            "place": t("blocks.place", row="{row}", column="{column}"),
            "hint": t("blocks.maps_hint"),
            "whole": t("blocks.maps_whole"),
            "picture": t("blocks.maps_picture"),
        },
    }


def _panel(panel: MapPanel, panels: Sequence[MapPanel]) -> dict[str, Any]:
    if panel.values is None:
        rows, columns = max((other.values.shape for other in panels if other.values is not None), default=(1, 1))
        return {"title": panel.title, "values": None, "note": panel.note, "rows": rows, "columns": columns, "tile": None}
    rows, columns = panel.values.shape
    numbers = base64.b64encode(np.ascontiguousarray(panel.values, dtype="<f4").tobytes()).decode()
    return {"title": panel.title, "values": numbers, "note": "", "rows": rows, "columns": columns, "tile": panel.tile}


def sheet_columns(count: int) -> int:
    """Channels in a row of a sheet."""
    return math.ceil(math.sqrt(count))


def tiled(channels: Array) -> Array:
    """(C, H, W) -> one sheet of all channels, row by row, with one empty (NaN) line between them."""
    count, height, width = channels.shape
    columns = sheet_columns(count)
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan, dtype=np.float32)
    for place, channel in enumerate(channels):
        row, column = divmod(place, columns)
        top, left = row * (height + 1), column * (width + 1)
        sheet[top : top + height, left : left + width] = channel
    return sheet
