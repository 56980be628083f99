"""Curves that grow while a network trains (Vega, which keeps its place and its zoom when data arrive).

The raw curve is always visible behind a smoothed one. The learning rate is never smoothed. Parameters and views have fixed names:
Altair would number them, and a chart whose specification changed would be drawn anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.theme import SERIES, NetworkStyle

MOST_POINTS = 1500  # per curve; more than the pixels it is drawn on
CURVE_COLUMNS = ["curve", "x", "y"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line: its name in the legend, its look, and its points."""

    name: str
    style: NetworkStyle
    x: Sequence[float]
    y: Sequence[float]


def smoothed(values: Sequence[float], weight: float = 0.95) -> NDArray[np.float64]:
    """Exponential moving average without its bias towards 0 at the start (as Adam's, Kingma and Ba 2015)."""
    result, mean, share = np.empty(len(values)), 0.0, 1.0
    for place, value in enumerate(values):
        mean = weight * mean + (1 - weight) * value
        share *= weight
        result[place] = mean / (1 - share)
    return result


def thinned(x: Sequence[float], y: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most about MOST_POINTS points: of each stretch its lowest and its highest, so no spike is lost."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(xs) <= MOST_POINTS:
        return xs, ys
    kept: list[int] = []
    for stretch in np.array_split(np.arange(len(xs)), MOST_POINTS // 2):
        kept += sorted({stretch[np.argmin(ys[stretch])], stretch[np.argmax(ys[stretch])]})
    return xs[kept], ys[kept]


def loss_curves(curves: Sequence[Curve], *, x_title: str, y_title: str, height: int = 260, log: bool = False) -> alt.LayerChart:
    """Per step: the raw loss faint, its moving average above it."""
    raw = _table([(curve, curve.y) for curve in curves])
    mean = _table([(curve, smoothed(curve.y)) for curve in curves])
    faint = _lines(raw, curves, x_title, y_title, log=log, opacity=0.3, width=1)
    bold = _lines(mean, curves, x_title, y_title, log=log, width=2)
    return _layered("loss", [faint, bold], height)


def line_curves(
    curves: Sequence[Curve], *, x_title: str, y_title: str, height: int = 200, log: bool = False, points: bool = False
) -> alt.LayerChart:
    """Curves as they are: the learning rate, or one point per epoch with `points`."""
    data = _table([(curve, curve.y) for curve in curves])
    layers: list[alt.Chart] = [_lines(data, curves, x_title, y_title, log=log, width=2)]
    if points:
        layers.append(_lines(data, curves, x_title, y_title, log=log, marks=True))
    return _layered("lines", layers, height)


def stage_curves(
    curves: Sequence[tuple[str, Sequence[float], Sequence[float]]], *, x_title: str, y_title: str, height: int = 200
) -> alt.LayerChart:
    """The gradient norm of every part (name, x, y) on a logarithmic scale."""
    styled = [Curve(name=name, style=NetworkStyle(color=SERIES[i % len(SERIES)]), x=x, y=y) for i, (name, x, y) in enumerate(curves)]
    return line_curves(styled, x_title=x_title, y_title=y_title, height=height, log=True)


def _table(curves: Sequence[tuple[Curve, Any]]) -> pd.DataFrame:
    frames = []
    for curve, values in curves:
        x, y = thinned(curve.x, values)
        frames.append(pd.DataFrame({"curve": curve.name, "x": x, "y": y}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=CURVE_COLUMNS)


def _lines(
    data: pd.DataFrame,
    curves: Sequence[Curve],
    x_title: str,
    y_title: str,
    *,
    log: bool,
    opacity: float = 1.0,
    width: float = 2.0,
    marks: bool = False,
) -> alt.Chart:
    names = [curve.name for curve in curves]
    chart = alt.Chart(data[data["y"] > 0] if log else data)
    drawn = chart.mark_point(size=26, filled=True) if marks else chart.mark_line(opacity=opacity, strokeWidth=width, interpolate="linear")
    encodings: dict[str, Any] = {
        "x": alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickMinStep=1, grid=False)),
        "y": alt.Y("y:Q", title=y_title, scale=alt.Scale(type="log" if log else "linear", zero=False)),
        "color": alt.Color(
            "curve:N",
            title=None,
            scale=alt.Scale(domain=names, range=[curve.style.color for curve in curves]),
            legend=alt.Legend(orient="top") if len(names) > 1 else None,
        ),
        "tooltip": [alt.Tooltip("curve:N", title=" "), alt.Tooltip("x:Q", title=x_title), alt.Tooltip("y:Q", title=y_title, format=".4g")],
    }
    if not marks:
        dashes = [list(curve.style.dash) or [1, 0] for curve in curves]
        encodings["strokeDash"] = alt.StrokeDash("curve:N", title=None, scale=alt.Scale(domain=names, range=dashes), legend=None)
    return drawn.encode(**encodings)


def _layered(name: str, layers: list[alt.Chart], height: int) -> alt.LayerChart:
    zoom = alt.selection_interval(name=f"{name}_zoom", bind="scales", encodings=["x"])
    layers[0] = layers[0].add_params(zoom).properties(name=f"{name}_view")
    return alt.layer(*layers).properties(height=height)
