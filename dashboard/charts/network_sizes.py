"""Networks by depth: parameters, multiply-accumulates, and the share of parameters that lies in linear layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.charts.theme import REFERENCE, RESNET, SELECTED, SERIES


@dataclass(frozen=True, kw_only=True)
class SizeRow:
    """One network, its name and family as people read them. Parameters and MACs in millions."""

    name: str
    family: str
    depth: int
    parameters: float
    macs: float
    linear_share: float
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class SizeWords:
    depth: str
    parameters: str
    macs: str
    linear: str
    family: str


def depth_chart(rows: Sequence[SizeRow], field: str, words: SizeWords, *, legend: bool = True, height: int = 260) -> alt.LayerChart:
    """`field` is "parameters" or "macs", on a logarithmic scale; a family's networks are joined by a line. The chosen one is named."""
    data = pd.DataFrame([vars(row) for row in rows])
    families = list(dict.fromkeys(row.family for row in rows))
    colors = [RESNET, *SERIES, "#1B4F8A", "#A3470F", "#D9A441", "#555555"]
    title = {"parameters": words.parameters, "macs": words.macs}[field]
    base = alt.Chart(data).encode(
        x=alt.X(
            "depth:Q", title=words.depth, scale=alt.Scale(type="log", domain=[4, 200]), axis=alt.Axis(values=[5, 10, 20, 50, 100, 152])
        ),
        y=alt.Y(f"{field}:Q", title=title, scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=5, format="~g")),
        color=alt.Color(
            "family:N",
            title=None,
            scale=alt.Scale(domain=families, range=colors[: len(families)]),
            legend=alt.Legend(orient="top", columns=4) if legend else None,
        ),
    )
    tooltip = [
        alt.Tooltip("name:N", title=" "),
        alt.Tooltip("depth:Q", title=words.depth),
        alt.Tooltip("parameters:Q", title=words.parameters, format=",.2f"),
        alt.Tooltip("macs:Q", title=words.macs, format=",.1f"),
        alt.Tooltip("linear_share:Q", title=words.linear, format=".0%"),
    ]
    lines = base.mark_line(strokeWidth=1.5, opacity=0.7)
    points = base.mark_point(filled=True, size=70, opacity=1).encode(tooltip=tooltip)
    chosen = alt.Chart(data[data["chosen"]])
    place = {"x": alt.X("depth:Q"), "y": alt.Y(f"{field}:Q")}
    ring = chosen.mark_point(size=190, strokeWidth=2.5, color=SELECTED, filled=False).encode(**place)
    name = chosen.mark_text(dy=-15, color=SELECTED, fontWeight="bold").encode(**place, text="name:N")
    return alt.layer(lines, points, ring, name).properties(height=height + (110 if legend else 0))  # the legend's rows take of it


def linear_chart(rows: Sequence[SizeRow], words: SizeWords) -> alt.LayerChart:
    """One bar per network, the largest share first."""
    data = pd.DataFrame([vars(row) for row in rows])
    base = alt.Chart(data).encode(
        y=alt.Y(
            "name:N",
            title=None,
            sort=alt.SortField("linear_share", order="descending"),
            axis=alt.Axis(labelLimit=150, labelOverlap=False, labelFlush=False),
        ),
        x=alt.X(
            "linear_share:Q",
            title=words.linear,
            scale=alt.Scale(domain=[0, 1.08]),
            axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
    )
    bars = base.mark_bar().encode(
        color=alt.condition("datum.chosen", alt.value(SELECTED), alt.value(SERIES[0])),
        tooltip=[
            alt.Tooltip("name:N", title=" "),
            alt.Tooltip("linear_share:Q", title=words.linear, format=".1%"),
            alt.Tooltip("parameters:Q", title=words.parameters, format=",.2f"),
        ],
    )
    texts = base.mark_text(align="left", dx=4, color=REFERENCE).encode(text=alt.Text("linear_share:Q", format=".0%"))
    return alt.layer(bars, texts).properties(height=18 * len(rows), padding={"top": 8, "left": 4, "right": 4, "bottom": 4})
