"""What depth does to networks with and without shortcuts: a dot per network, a line through the means of the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.charts.theme import network_style


@dataclass(frozen=True, kw_only=True)
class DepthValue:
    """One network: its family's name for people, the model it is drawn as, its depth, and the measured value."""

    family: str
    model: str
    depth: int
    seed: int
    value: float


def by_depth(values: Sequence[DepthValue], *, x_title: str, y_title: str, percent: bool = False, height: int = 260) -> alt.LayerChart:
    """Depth runs in the distances of the numbers, so that the slope is one per layer."""
    data = pd.DataFrame([vars(value) for value in values], columns=["family", "model", "depth", "seed", "value"])
    looks = {value.family: network_style(value.model) for value in values}
    names = list(looks)
    x = alt.X(
        "depth:Q", title=x_title, axis=alt.Axis(values=sorted(set(data["depth"])), grid=False), scale=alt.Scale(zero=False, padding=12)
    )
    axis = alt.Axis(format=".0%") if percent else alt.Axis(format="~g")
    colour = alt.Color(
        "family:N",
        scale=alt.Scale(domain=names, range=[look.color for look in looks.values()]),
        legend=alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1),
    )
    base = alt.Chart(data).encode(x=x, color=colour)
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("mean(value):Q", title=y_title, axis=axis, scale=alt.Scale(zero=False)),
        strokeDash=alt.StrokeDash(
            "family:N", scale=alt.Scale(domain=names, range=[list(look.dash) or [1, 0] for look in looks.values()]), legend=None
        ),
    )
    dots = base.mark_point(size=30, filled=True, opacity=0.75).encode(
        y=alt.Y("value:Q", title=y_title),
        tooltip=[
            alt.Tooltip("family:N", title=" "),
            alt.Tooltip("depth:Q", title=x_title),
            alt.Tooltip("seed:Q"),
            alt.Tooltip("value:Q", title=y_title, format=".1%" if percent else ".3f"),
        ],
    )
    return alt.layer(line, dots).properties(height=height)
