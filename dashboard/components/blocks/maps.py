"""The residual block at work: x, F(x), x + F(x) and the output of one block for one image, on one scale."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.components.csv_button import csv_button
from dashboard.components.linked_maps import MapPanel, Reading, linked_maps, sheet_columns, tiled
from dashboard.components.names import block_label
from dashboard.i18n import t
from dashboard.measuring import maps_of
from dashboard.state import ImageChoice, ShownImage
from resnet_core.inspection import BlockMaps, ChannelMeasures, channel_measures
from resnet_core.runs import Checkpoint

MEAN, ONE, ALL = "mean", "one", "all"
MODES = {MEAN: "blocks.mode_mean", ONE: "blocks.mode_one", ALL: "blocks.mode_all"}
SORTS = {
    "residual": "blocks.sort_residual",
    "change": "blocks.sort_change",
    "cancelled": "blocks.sort_cancelled",
    "number": "blocks.sort_number",
}
HEIGHT = 262

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class _View:
    """How the channels are shown: their mean, one (`channel`), or all of them."""

    mode: str
    channel: int = 0

    def of(self, channels: Array) -> Array:
        """(C, H, W) -> (H, W)."""
        if self.mode == ALL:
            return tiled(channels)
        return channels.mean(0) if self.mode == MEAN else channels[self.channel]


def residual_view(checkpoint: Checkpoint, image: ShownImage, block: str) -> BlockMaps:
    """Draws the maps with their channel picker; returns them for the panels below."""
    maps = maps_of(checkpoint, image, block)

    @st.fragment
    def picture() -> None:  # another channel draws this alone again
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            view = _view_picker(maps)
            csv_button(
                lambda: _csv(maps), f"{_file_stem(checkpoint, image, block)}.csv", help=t("blocks.download_maps"), key="residual_maps_csv"
            )
        with st.container(key="residual_maps"):
            _draw(maps, view, key="residual_maps_chart", height=HEIGHT, file=f"{_file_stem(checkpoint, image, block)}.png")

    picture()
    st.caption(_sentence(maps))
    return maps


def mean_maps(maps: BlockMaps, *, key: str, height: int, file: str) -> None:
    """The same maps, each the mean over its channels, without any control."""
    _draw(maps, _View(mode=MEAN), key=key, height=height, file=file)


def _draw(maps: BlockMaps, view: _View, *, key: str, height: int, file: str) -> None:
    alt = t("blocks.maps_alt", block=block_label(maps.name))
    place = f"{maps.name} {view.mode == ALL} {maps.residual.shape}"
    linked_maps(_panels(maps, view), _reading(maps, view), key=key, place=place, alt=alt, height=height, file=file)


def _file_stem(checkpoint: Checkpoint, image: ShownImage, block: str) -> str:
    return f"{checkpoint.name}-{image.index if isinstance(image, ImageChoice) else image.kind}-{block}"


# -- channels ---------------------------------------------------------------------------------------------------------------------


def _view_picker(maps: BlockMaps) -> _View:
    mode = st.segmented_control(
        t("blocks.channels"), list(MODES), format_func=lambda option: t(MODES[option]), default=MEAN, required=True, key="residual_mode"
    )
    one = mode == ONE
    measures = channel_measures(maps)
    sorts = list(SORTS) if maps.shortcut is not None else ["residual", "number"]
    if st.session_state.get("residual_sort") not in sorts:
        st.session_state["residual_sort"] = "residual"
    sort = st.selectbox(
        t("blocks.sort"), sorts, format_func=lambda option: t(SORTS[option]), key="residual_sort", disabled=not one, width=210
    )
    order, values = _ordered(measures, sort, len(maps.residual))
    if st.session_state.get("residual_channel") not in order:
        st.session_state["residual_channel"] = order[0]
    channel = st.selectbox(
        t("blocks.channel"),
        order,
        format_func=lambda option: (
            t("blocks.channel_value", channel=option, value=f"{values[option]:.3g}") if values is not None else str(option)
        ),
        key="residual_channel",
        disabled=not one,
        width=150,
    )
    return _View(mode=mode, channel=channel)


def _ordered(measures: ChannelMeasures, sort: str, count: int) -> tuple[list[int], Array | None]:
    """Channel numbers with the largest value first, and the values by channel."""
    found = {"residual": measures.residual_norm, "change": measures.change, "cancelled": measures.cancelled}.get(sort)
    if found is None:
        return list(range(count)), None
    return [int(channel) for channel in np.argsort(-found, kind="stable")], found


# -- panels -----------------------------------------------------------------------------------------------------------------------


def _panels(maps: BlockMaps, view: _View) -> list[MapPanel]:
    if maps.shortcut is None or maps.sum is None:
        parts = [maps.input, maps.residual, None, maps.output]
        titles = ["x", "F(x)", "x + F(x)", t("blocks.output_plain")]
    else:
        first = shortcut_name(maps)
        parts = [maps.shortcut, maps.residual, maps.sum, maps.output]
        titles = [first, "F(x)", f"{first} + F(x)", t("blocks.output") if _has_relu(maps) else t("blocks.output_no_relu")]
    return [_panel(title, part, view) for title, part in zip(titles, parts, strict=True)]


def _panel(title: str, channels: Array | None, view: _View) -> MapPanel:
    if channels is None:
        return MapPanel(title=title, values=None, note=t("blocks.no_shortcut_note"))
    count, height, width = channels.shape
    tile = (height, width, sheet_columns(count)) if view.mode == ALL else None
    return MapPanel(title=title, values=view.of(channels), tile=tile)


def shortcut_name(maps: BlockMaps) -> str:
    """What is added is x itself, or s(x) where the shortcut changes its shape."""
    return "x" if _is_identity(maps) else "s(x)"


def _is_identity(maps: BlockMaps) -> bool:
    return maps.shortcut is not None and maps.shortcut.shape == maps.input.shape and np.array_equal(maps.shortcut, maps.input)


def _has_relu(maps: BlockMaps) -> bool:
    return maps.sum is not None and not np.array_equal(maps.sum, maps.output)


def _reading(maps: BlockMaps, view: _View) -> Reading:
    """The words around the sum under the cursor: 0.82 + (−0.31) = 0.51 → ReLU 0.51."""
    channel = t("blocks.channel")
    where = {MEAN: t("blocks.mode_mean"), ONE: f"{channel} {view.channel}", ALL: channel}[view.mode]
    if maps.shortcut is None:
        return Reading(where=where)
    ending = t("blocks.then_relu_mean") if view.mode == MEAN else t("blocks.then_relu")
    return Reading(where=where, first=shortcut_name(maps), then=ending if _has_relu(maps) else None)


# -- in words ---------------------------------------------------------------------------------------------------------------------


def _sentence(maps: BlockMaps) -> str:
    if maps.shortcut is None:
        return t("blocks.maps_plain")
    if _is_identity(maps):
        return t("blocks.maps_read")
    before, after = _shape(maps.input), _shape(maps.shortcut)
    return t("blocks.maps_read_shape", before=before, after=after)


def _shape(channels: Array) -> str:
    return "×".join(str(size) for size in channels.shape)


def _csv(maps: BlockMaps) -> bytes:
    """One line per channel and position; the sum of the two columns before it is `sum`."""
    channels, rows, columns = np.indices(maps.residual.shape).reshape(3, -1)
    table = {"channel": channels, "row": rows, "column": columns}
    for name in ("shortcut", "residual", "sum", "output"):
        values = getattr(maps, name)
        if values is not None:
            table[name] = values.ravel()
    return pd.DataFrame(table).to_csv(index=False).encode()
