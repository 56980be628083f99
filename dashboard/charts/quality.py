"""What maps are worth: how the probability falls and rises with the pixels they name, and what stays of them with random weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.theme import NetworkStyle


@dataclass(frozen=True, kw_only=True)
class QualityLine:
    """One line over equally spaced points, or over named places."""

    name: str
    style: NetworkStyle
    values: Sequence[float] | NDArray


def pixel_curves(lines: Sequence[QualityLine], *, x_title: str, y_title: str, height: int = 240) -> alt.Chart:
    """Probability of the class while pixels go or come, from none to all."""
    rows = [
        {"line": line.name, "share": place / (len(line.values) - 1), "probability": float(value)}
        for line in lines
        for place, value in enumerate(line.values)
    ]
    x = alt.X("share:Q", title=x_title, axis=alt.Axis(format=".0%", tickCount=5, grid=False))
    y = alt.Y("probability:Q", title=y_title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5))
    tooltip = [
        alt.Tooltip("line:N", title=" "),
        alt.Tooltip("share:Q", title=x_title, format=".0%"),
        alt.Tooltip("probability:Q", title=y_title, format=".1%"),
    ]
    return _styled(pd.DataFrame(rows), lines).encode(x=x, y=y, tooltip=tooltip).properties(height=height)


def likeness_lines(lines: Sequence[QualityLine], places: Sequence[str], *, x_title: str, y_title: str, height: int = 200) -> alt.LayerChart:
    """Rank correlation with the first map, place by place; nan is left out."""
    rows = [
        {"line": line.name, "place": place, "likeness": float(value)}
        for line in lines
        for place, value in zip(places, line.values, strict=True)
        if value == value
    ]
    lowest = min([-0.2, *(math.floor(5 * float(row["likeness"])) / 5 for row in rows)])
    x = alt.X("place:N", title=x_title, sort=list(places), axis=alt.Axis(labelAngle=0))
    y = alt.Y("likeness:Q", title=y_title, scale=alt.Scale(domain=[lowest, 1]), axis=alt.Axis(tickCount=6))
    tooltip = [
        alt.Tooltip("line:N", title=" "),
        alt.Tooltip("place:N", title=x_title),
        alt.Tooltip("likeness:Q", title=y_title, format=".2f"),
    ]
    base = _styled(pd.DataFrame(rows, columns=["line", "place", "likeness"]), lines)
    return alt.layer(
        base.encode(x=x, y=y, tooltip=tooltip), base.mark_point(size=40, filled=True, opacity=1).encode(x=x, y=y, tooltip=tooltip)
    ).properties(height=height)


def _styled(data: pd.DataFrame, lines: Sequence[QualityLine]) -> alt.Chart:
    names = [line.name for line in lines]
    legend = alt.Legend(orient="top", columns=2, symbolType="stroke", symbolStrokeWidth=3, labelLimit=220)
    color = alt.Color("line:N", title=None, scale=alt.Scale(domain=names, range=[line.style.color for line in lines]), legend=legend)
    dashes = alt.Scale(domain=names, range=[list(line.style.dash) or [1, 0] for line in lines])
    return alt.Chart(data).mark_line(strokeWidth=2).encode(color=color, strokeDash=alt.StrokeDash("line:N", scale=dashes, legend=None))
