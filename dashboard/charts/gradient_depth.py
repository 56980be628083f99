"""Untrained networks by depth: how the gradient's ends compare, and its norm at every block; seeds as a band."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.theme import REFERENCE, NetworkStyle


@dataclass(frozen=True, kw_only=True)
class Band:
    """One family of networks: for every x its values over the seeds."""

    name: str
    style: NetworkStyle
    points: Mapping[float, Sequence[float]]


def ratio_chart(bands: Sequence[Band], *, x_title: str, y_title: str, limits: Sequence[float], height: int = 300) -> alt.LayerChart:
    """log10(first block / last block) by depth; dotted lines at 0 and at the thresholds."""
    behind = [_rule([0.0], dash=[1, 0]), _rule(limits, dash=[2, 4])]
    return _chart(
        bands,
        behind,
        x=alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False, zero=False, padding=12)),
        y_title=y_title,
        log=False,
        height=height,
    )


def _rule(values: Sequence[float], *, dash: Sequence[int]) -> alt.Chart:
    return alt.Chart(pd.DataFrame({"y": list(values)})).mark_rule(color=REFERENCE, strokeDash=list(dash)).encode(y="y:Q")


def depth_norms_chart(bands: Sequence[Band], *, x_title: str, y_title: str, height: int = 300) -> alt.LayerChart:
    """The norm at every block's input on a logarithmic axis."""
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickMinStep=1, grid=False))
    return _chart(bands, [], x=x, y_title=y_title, log=True, height=height)


def _chart(bands: Sequence[Band], behind: Sequence[alt.Chart], *, x: alt.X, y_title: str, log: bool, height: int) -> alt.LayerChart:
    """A line through the middle seed, a band from the lowest to the highest."""
    rows = [
        {"name": band.name, "x": place, "low": min(values), "middle": sorted(values)[len(values) // 2], "high": max(values)}
        for band in bands
        for place, values in band.points.items()
        if len(values) and (min(values) > 0 or not log)
    ]
    data = pd.DataFrame(rows, columns=["name", "x", "low", "middle", "high"])
    names = [band.name for band in bands]
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=True)
    wide = not data.empty and data["high"].max() > 1e4 * data["low"].min()
    axis = (
        alt.Axis(format=".0e" if wide else "~g", tickCount=5)
        if log
        else alt.Axis(labelExpr="(datum.value > 0 ? '+' : '') + datum.label", tickMinStep=1)
    )
    color = alt.Color(
        "name:N",
        title=None,
        scale=alt.Scale(domain=names, range=[band.style.color for band in bands]),
        legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1),
    )
    dash = alt.StrokeDash(
        "name:N", title=None, scale=alt.Scale(domain=names, range=[list(band.style.dash) or [1, 0] for band in bands]), legend=None
    )
    tooltip: list[Any] = [alt.Tooltip("name:N", title=" "), alt.Tooltip("x:Q", title=str(x.to_dict().get("title", "x")))]
    tooltip += [
        alt.Tooltip(f"{field}:Q", title=mark, format=".3g") for field, mark in (("low", "min"), ("middle", y_title), ("high", "max"))
    ]
    base = alt.Chart(data)
    area = base.mark_area(opacity=0.25).encode(x=x, y=alt.Y("low:Q", title=y_title, scale=scale, axis=axis), y2="high:Q", color=color)
    y = alt.Y("middle:Q", title=y_title, scale=scale, axis=axis)
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color, strokeDash=dash)
    points = base.mark_point(size=26, filled=True, opacity=1).encode(x=x, y=y, color=color, tooltip=tooltip)
    return alt.layer(*behind, area, line, points).properties(height=height)
