"""What blocks are worth: accuracy without each of them, without several of them, and what that means for each class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.charts.theme import REFERENCE, NetworkStyle


@dataclass(frozen=True, kw_only=True)
class NetworkValues:
    """A network's name for people, its look, one value per bar, and what the whole network reaches."""

    name: str
    style: NetworkStyle
    values: Sequence[float]
    whole: float


@dataclass(frozen=True, kw_only=True)
class Band:
    """A network's accuracies by number of lost blocks: lowest, mean and highest of several draws."""

    name: str
    style: NetworkStyle
    counts: Sequence[int]
    low: Sequence[float]
    mean: Sequence[float]
    high: Sequence[float]


def class_change_bars(
    classes: Sequence[str], networks: Sequence[NetworkValues], *, x_title: str, y_title: str, height: int = 200
) -> alt.LayerChart:
    """Change of each class's accuracy in points, one bar per network; a class without images has none."""
    highest = max((value for network in networks for value in network.values if value == value), default=0)
    top = max(25, 25 * math.ceil(highest / 25))
    chart = _bars(
        classes,
        networks,
        names=("class", "change"),
        x_title=x_title,
        y_title=y_title,
        y_format="+d",
        tooltip_format="+.1f",
        domain=[-100, top],
        ticks=range(-100, top + 1, 25),
    )
    return _layered([chart, _rule(0.0)], height)


def accuracy_bars(
    blocks: Sequence[str], networks: Sequence[NetworkValues], *, chance: float, x_title: str, y_title: str, height: int = 220
) -> alt.LayerChart:
    """Accuracy without each block alone. Dashed lines: the whole network; grey: guessing."""
    chart = _bars(
        blocks, networks, names=("block", "accuracy"), x_title=x_title, y_title=y_title, y_format=".0%", tooltip_format=".1%", domain=[0, 1]
    )
    wholes = [
        alt.Chart(pd.DataFrame({"whole": [n.whole]})).mark_rule(color=n.style.color, strokeDash=[5, 3]).encode(y="whole:Q")
        for n in networks
    ]
    return _layered([chart, *wholes, _rule(chance)], height)


def loss_bands(bands: Sequence[Band], *, chance: float, x_title: str, y_title: str, height: int = 220) -> alt.LayerChart:
    """Accuracy by number of lost blocks: the mean as a line, lowest to highest as a band."""
    data = pd.DataFrame(
        [
            {"network": band.name, "count": count, "low": low, "mean": mean, "high": high}
            for band in bands
            for count, low, mean, high in zip(band.counts, band.low, band.mean, band.high, strict=True)
        ]
    )
    names = [band.name for band in bands]
    color = alt.Color(
        "network:N",
        title=None,
        scale=alt.Scale(domain=names, range=[b.style.color for b in bands]),
        legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3),
    )
    dashes = [list(band.style.dash) or [1, 0] for band in bands]
    dash = alt.StrokeDash("network:N", scale=alt.Scale(domain=names, range=dashes), legend=None)
    x = alt.X("count:Q", title=x_title, axis=alt.Axis(tickMinStep=1, format="d", grid=False))
    y = alt.Y("mean:Q", title=y_title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5))
    tooltip = [alt.Tooltip("network:N", title=" "), alt.Tooltip("count:Q", title=x_title)]
    tooltip += [alt.Tooltip(f"{part}:Q", title=sign, format=".1%") for part, sign in (("low", "↓"), ("mean", y_title), ("high", "↑"))]
    base = alt.Chart(data)
    area = base.mark_area(opacity=0.2).encode(x=x, y=alt.Y("low:Q", title=y_title), y2="high:Q", color=color)
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color, strokeDash=dash)
    points = base.mark_point(size=40, filled=True, opacity=1).encode(x=x, y=y, color=color, tooltip=tooltip)
    return _layered([area, line, points, _rule(chance)], height)


def _bars(
    places: Sequence[str],
    networks: Sequence[NetworkValues],
    *,
    names: tuple[str, str],
    x_title: str,
    y_title: str,
    y_format: str,
    tooltip_format: str,
    domain: Sequence[float],
    ticks: Sequence[float] = (),
) -> alt.Chart:
    """`names` are the columns of the place and of the value; without `ticks` about five."""
    place, value = names
    rows = [{"network": n.name, place: where, value: number} for n in networks for where, number in zip(places, n.values, strict=True)]
    found = [n.name for n in networks]
    legend = alt.Legend(orient="top", columns=2) if len(found) > 1 else None
    axis = alt.Axis(format=y_format, values=list(ticks)) if ticks else alt.Axis(format=y_format, tickCount=5)
    return (
        alt.Chart(pd.DataFrame(rows, columns=["network", place, value]))
        .mark_bar()
        .encode(
            x=alt.X(f"{place}:N", title=x_title, sort=list(places), axis=alt.Axis(labelAngle=0 if len(places) <= 20 else -90)),
            xOffset=alt.XOffset("network:N", sort=found),
            y=alt.Y(f"{value}:Q", title=y_title, scale=alt.Scale(domain=list(domain)), axis=axis),
            color=alt.Color("network:N", title=None, scale=alt.Scale(domain=found, range=[n.style.color for n in networks]), legend=legend),
            tooltip=[
                alt.Tooltip("network:N", title=" "),
                alt.Tooltip(f"{place}:N", title=x_title),
                alt.Tooltip(f"{value}:Q", title=y_title, format=tooltip_format),
            ],
        )
    )


def _rule(value: float) -> alt.Chart:
    return alt.Chart(pd.DataFrame({"line": [value]})).mark_rule(color=REFERENCE, strokeDash=[2, 2]).encode(y="line:Q")


def _layered(layers: Sequence[alt.Chart], height: int) -> alt.LayerChart:
    return alt.layer(*layers).properties(height=height)
