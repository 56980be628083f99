"""Gradients along a line of inputs, and how fast neighbours lose each other (Vega: it follows a slider without being drawn anew)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.theme import NetworkStyle


@dataclass(frozen=True, kw_only=True)
class CorrelationLine:
    """Autocorrelation by lag. `faint` for what a line is compared with."""

    name: str
    style: NetworkStyle
    lags: Sequence[int]
    values: Sequence[float]
    faint: bool = False


def trace_chart(
    x: NDArray[np.float64], y: NDArray[np.float64], *, style: NetworkStyle, title: str, x_title: str | None, y_title: str, height: int = 110
) -> alt.Chart:
    """A gradient as it runs along the line, on a scale of its own."""
    axis = alt.Axis(grid=False, labels=x_title is not None, ticks=x_title is not None)
    return (
        alt.Chart(pd.DataFrame({"x": x, "y": y}), title=alt.Title(title, anchor="start", fontSize=13))
        .mark_line(color=style.color, strokeWidth=1.2)
        .encode(
            x=alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False, zero=False), axis=axis),
            y=alt.Y("y:Q", title=y_title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=3, format="~s", minExtent=42)),
            tooltip=[alt.Tooltip("x:Q", title=x_title or " ", format=".3f"), alt.Tooltip("y:Q", title=y_title, format=".3g")],
        )
        .properties(height=height)
    )


def correlation_chart(lines: Sequence[CorrelationLine], *, x_title: str, y_title: str, height: int = 300) -> alt.LayerChart:
    """All lines over the lag; 0 is what independent gradients have."""
    data = pd.DataFrame(
        [
            {"name": line.name, "lag": lag, "value": value, "faint": line.faint}
            for line in lines
            for lag, value in zip(line.lags, line.values, strict=True)
        ],
        columns=["name", "lag", "value", "faint"],
    )
    names = [line.name for line in lines]
    colors = alt.Scale(domain=names, range=[line.style.color for line in lines])
    dashes = alt.Scale(domain=names, range=[list(line.style.dash) or [1, 0] for line in lines])
    legend = alt.Legend(orient="top", columns=2, symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1, labelLimit=260)
    encodings: dict[str, Any] = {
        "x": alt.X("lag:Q", title=x_title, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False, tickMinStep=1)),
        "y": alt.Y("value:Q", title=y_title, scale=alt.Scale(domainMax=1, nice=True), axis=alt.Axis(tickCount=5)),
        "color": alt.Color("name:N", title=None, scale=colors, legend=legend),
        "opacity": alt.Opacity("faint:N", scale=alt.Scale(domain=[False, True], range=[1, 0.75]), legend=None),
    }
    tooltip = [
        alt.Tooltip("name:N", title=" "),
        alt.Tooltip("lag:Q", title=x_title),
        alt.Tooltip("value:Q", title=y_title, format=".2f"),
    ]
    base = alt.Chart(data)
    drawn = base.mark_line(strokeWidth=2).encode(**encodings, strokeDash=alt.StrokeDash("name:N", title=None, scale=dashes, legend=legend))
    marks = base.mark_point(size=22, filled=True).encode(**encodings, tooltip=tooltip)
    return alt.layer(drawn, marks).properties(height=height)
