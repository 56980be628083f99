"""The residual block at work: x, F(x), x + F(x) and the output of one block for one image, on one scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from plotly import graph_objects as go

from dashboard.charts.maps import MapPanel, linked_maps, tiled
from dashboard.charts.theme import PLOTLY_CONFIG
from dashboard.components.names import block_label
from dashboard.i18n import t
from dashboard.measuring import maps_of
from dashboard.state import ImageChoice
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


def residual_view(checkpoint: Checkpoint, choice: ImageChoice, block: str) -> BlockMaps:
    """Draws the maps with their channel picker; returns them for the panels below."""
    maps = maps_of(checkpoint, choice, block)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = _view_picker(maps)
        st.download_button(
            "",
            data=lambda: _csv(maps),
            file_name=f"{checkpoint.name}-{choice.index}-{block}.csv",
            mime="text/csv",
            icon=":material/download:",
            help=t("blocks.download_maps"),
            key="residual_maps_csv",
            on_click="ignore",
        )
    figure = linked_maps(_panels(maps, view), value_title=t("blocks.activation"), height=HEIGHT)
    with st.container(key="residual_maps"):
        st.plotly_chart(figure, config=PLOTLY_CONFIG, key="residual_maps_chart", alt=t("blocks.maps_alt", block=block_label(block)))
    st.caption(_sentence(maps))
    return maps


def mean_figure(maps: BlockMaps, *, height: int) -> go.Figure:
    """The same maps, each the mean over its channels, without any control."""
    return linked_maps(_panels(maps, _View(mode=MEAN)), value_title=t("blocks.activation"), height=height)


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
        values = [view.of(maps.input), view.of(maps.residual), None, view.of(maps.output)]
        titles = ["x", "F(x)", "x + F(x)", t("blocks.output_plain")]
        return [
            MapPanel(
                title=title, values=value, note=t("blocks.no_shortcut_note"), texts=None if value is None else _plain_texts(title, value)
            )
            for title, value in zip(titles, values, strict=True)
        ]
    first = _shortcut_title(maps)
    parts = [view.of(part) for part in (maps.shortcut, maps.residual, maps.sum, maps.output)]
    titles = [first, "F(x)", f"{first} + F(x)", t("blocks.output") if _has_relu(maps) else t("blocks.output_no_relu")]
    texts = _sum_texts(first, parts, maps, view)
    return [MapPanel(title=title, values=part, texts=texts) for title, part in zip(titles, parts, strict=True)]


def _shortcut_title(maps: BlockMaps) -> str:
    """What is added is x itself, or s(x) where the shortcut changes its shape."""
    return "x" if _is_identity(maps) else "s(x)"


def _is_identity(maps: BlockMaps) -> bool:
    return maps.shortcut is not None and maps.shortcut.shape == maps.input.shape and np.array_equal(maps.shortcut, maps.input)


def _has_relu(maps: BlockMaps) -> bool:
    return maps.sum is not None and not np.array_equal(maps.sum, maps.output)


def _plain_texts(title: str, values: Array) -> list[list[str]]:
    return [
        [f"{t('blocks.place', row=row, column=column)}<br>{title} = {_signed(value)}" for column, value in enumerate(line)]
        for row, line in enumerate(values)
    ]


def _sum_texts(first: str, parts: Sequence[Array], maps: BlockMaps, view: _View) -> list[list[str]]:
    """At each position the sum written out: 0.82 + (−0.31) = 0.51 → ReLU 0.51. Short on a sheet, which has thousands of them."""
    height, width = maps.residual.shape[1:]
    tiles = (parts[0].shape[1] + 1) // (width + 1)  # channels in a row of the sheet
    relu, channel = _has_relu(maps), t("blocks.channel")
    ending = t("blocks.then_relu_mean") if view.mode == MEAN else t("blocks.then_relu")
    where = t("blocks.mode_mean") if view.mode == MEAN else f"{channel} {view.channel}"

    def text(row: int, column: int, values: Sequence[float]) -> str:
        x, f, z, y = values
        if view.mode == ALL:
            number = row // (height + 1) * tiles + column // (width + 1)
            return "" if math.isnan(x) else f"{channel} {number}: {_written_sum(x, f, z)}" + (f" → <b>{_signed(y)}</b>" if relu else "")
        place = t("blocks.place", row=row, column=column)
        return f"{where}, {place}<br>{first} + F(x): {_written_sum(x, f, z)}" + (f"<br>{ending} <b>{_signed(y)}</b>" if relu else "")

    stacked = np.stack(parts, axis=-1)
    return [[text(row, column, values) for column, values in enumerate(line)] for row, line in enumerate(stacked.tolist())]


def _written_sum(x: float, f: float, z: float) -> str:
    return f"{_signed(x)} + {_bracketed(f)} = {_signed(z)}"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _bracketed(value: float) -> str:
    """A negative number in brackets, as it is written in a sum."""
    text = _signed(value)
    return f"({text})" if text.startswith("−") else text


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
