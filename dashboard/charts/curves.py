"""Curves that grow while a network trains (Vega, which keeps its place and its zoom when data arrive).

The raw curve is always visible behind a smoothed one. The learning rate is never smoothed. Parameters and views have fixed names:
Altair would number them, and a chart whose specification changed would be drawn anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.theme import REFERENCE, SERIES, NetworkStyle

POWER_OF_TEN = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6"  # in Vega's own language
FEW_DECADES = "domain('y')[1] / domain('y')[0] < 20"
LAST_LABEL = {"right": 4}  # pixels, or the axis's last number loses its right edge
POINT_ROOM = 4  # pixels above the highest and below the lowest point, which would be cut in half
MEMORY = 20.0  # steps
MOST_POINTS = 1500  # per curve; more than the pixels it is drawn on


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line: its name in the legend, its look, and its points."""

    name: str
    style: NetworkStyle
    x: Sequence[float]
    y: Sequence[float]


def smoothed(x: Sequence[float], y: Sequence[float]) -> NDArray[np.float64]:
    """Exponential moving average without its bias towards 0 at the start (as Adam's, Kingma and Ba 2015).

    It looks back over MEMORY steps of `x`, however many of them the curve holds, and over fewer of a short curve, whose end it would
    otherwise not reach.
    """
    if not len(y):
        return np.empty(0)
    result, mean, share = np.empty(len(y)), 0.0, 1.0
    steps = np.diff(np.asarray(x, dtype=np.float64), prepend=x[0] - 1)
    weight = 1 - 1 / min(MEMORY, max(2.0, (x[-1] - x[0] + 1) / 30))
    for place, (value, step) in enumerate(zip(y, steps, strict=True)):
        kept = weight**step
        mean = kept * mean + (1 - kept) * value
        share *= kept
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


@dataclass(frozen=True, kw_only=True)
class LiveChart:
    """A Vega-Lite chart whose specification is made once, with the tables of now.

    Made anew at every look, a chart costs Altair ten times what its numbers cost, once a second beside a training that wants the processor.
    """

    spec: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]  # by the names under which the specification asks for them
    zoom: str  # the parameter that holds the part of the axis that is looked at


def loss_curves(
    curves: Sequence[Curve], *, x_title: str, y_title: str, height: int = 240, log: bool = False, x_end: float | None = None
) -> LiveChart:
    """Per step: the raw loss faint, its moving average above it. `x_end` keeps the axis still while the curve grows."""
    look = _Axes(x_title=x_title, y_title=y_title, log=log, x_end=x_end)
    values = {"raw": [curve.y for curve in curves], "mean": [smoothed(curve.x, curve.y) for curve in curves]}
    return _live("loss", curves, values, look, height, (_Layer(table="raw", opacity=0.3, width=1), _Layer(table="mean")))


def epoch_curves(
    train: Sequence[Curve],
    valid: Sequence[Curve],
    *,
    name: str,
    x_title: str,
    y_title: str,
    height: int = 190,
    percent: bool = False,
    log: bool = False,
    x_end: float | None = None,
) -> LiveChart:
    """Per epoch: training thin and faint, validation with points. Both sequences name the same networks in the same order.

    With `x_end`, the last epoch, there is half an epoch of room on both sides, or points would be cut in half.
    """
    end = None if x_end is None else x_end + 0.5
    look = _Axes(x_title=x_title, y_title=y_title, percent=percent, log=log, x_start=0.5, x_end=end)
    values = {"train": [curve.y for curve in train], "valid": [curve.y for curve in valid]}
    layers = (_Layer(table="train", opacity=0.55, width=1.2), _Layer(table="valid"), _Layer(table="valid", marks=True))
    return _live(name, valid, values, look, height, layers)


def line_curves(
    curves: Sequence[Curve], *, name: str, x_title: str, y_title: str, height: int = 190, log: bool = False, x_end: float | None = None
) -> LiveChart:
    """Curves as they are, such as the learning rate, which is never smoothed."""
    look = _Axes(x_title=x_title, y_title=y_title, log=log, x_end=x_end)
    return _live(name, curves, {"lines": [curve.y for curve in curves]}, look, height, (_Layer(table="lines"),))


def stage_curves(
    curves: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    *,
    x_title: str,
    y_title: str,
    height: int = 190,
    x_end: float | None = None,
) -> LiveChart:
    """The gradient norm of every part (name, x, y) on a logarithmic scale."""
    styled = [Curve(name=name, style=NetworkStyle(color=SERIES[i % len(SERIES)]), x=x, y=y) for i, (name, x, y) in enumerate(curves)]
    return line_curves(styled, name="stages", x_title=x_title, y_title=y_title, height=height, log=True, x_end=x_end)


def sparkline(y: Sequence[float], *, x_title: str, y_title: str, x_end: float, height: int = 150) -> alt.Chart:
    """One quiet curve, evenly spread from 0 to `x_end`: a schedule before the start."""
    x, values = thinned(np.linspace(0, x_end, len(y)).tolist(), y)
    look = _Axes(x_title=x_title, y_title=y_title, x_end=x_end)
    data = pd.DataFrame({"x": x, "y": values})
    return (
        alt.Chart(data)
        .mark_line(color=REFERENCE, strokeWidth=2)
        .encode(x=look.x(), y=look.y(zero=True))
        .properties(height=height, padding=LAST_LABEL)
    )


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Titles and scales of a chart. With `x_end` the horizontal axis runs from `x_start` to there from the first point on."""

    x_title: str
    y_title: str
    log: bool = False
    percent: bool = False
    x_end: float | None = None
    x_start: float = 0.0

    def x(self) -> alt.X:
        domain = {} if self.x_end is None else {"domain": [self.x_start, self.x_end]}
        return alt.X("x:Q", title=self.x_title, scale=alt.Scale(nice=False, zero=False, **domain), axis=alt.Axis(tickMinStep=1, grid=False))

    def y(self, *, zero: bool = False) -> alt.Y:
        axis = alt.Axis(format="~%" if self.percent else "~g", tickCount=5)
        if self.log:  # Vega draws a tick for 2, 3, ... 9 times a power of ten too: those stay quiet
            axis.gridOpacity = {"condition": {"test": POWER_OF_TEN, "value": 1}, "value": 0.25}
            axis.labelOpacity = {"condition": {"test": f"{POWER_OF_TEN} || {FEW_DECADES}", "value": 1}, "value": 0}
        scale = alt.Scale(type="log" if self.log else "linear", zero=zero, padding=POINT_ROOM)
        return alt.Y("y:Q", title=self.y_title, scale=scale, axis=axis)


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Lines of a table, or points where its values are."""

    table: str
    opacity: float = 1.0
    width: float = 2.0
    marks: bool = False


def _live(
    name: str,
    curves: Sequence[Curve],
    values: Mapping[str, Sequence[Sequence[float] | NDArray[np.float64]]],
    look: _Axes,
    height: int,
    layers: tuple[_Layer, ...],
) -> LiveChart:
    """`values` by table, for each curve those at its places."""
    spec = _specification(name, tuple((curve.name, curve.style) for curve in curves), look, height, layers)
    tables = {f"{name}_{table}": _table(curves, ys, positive=look.log) for table, ys in values.items()}
    return LiveChart(spec=spec, tables=tables, zoom=_zoom(name))


def _table(curves: Sequence[Curve], values: Sequence[Sequence[float] | NDArray[np.float64]], *, positive: bool) -> pd.DataFrame:
    names: list[str] = []
    xs, ys = [np.empty(0)], [np.empty(0)]
    for curve, own in zip(curves, values, strict=True):
        x, y = thinned(curve.x, own)
        xs.append(x)
        ys.append(y)
        names += [curve.name] * len(x)
    table = pd.DataFrame({"curve": pd.Series(names, dtype=str), "x": np.concatenate(xs), "y": np.concatenate(ys)})
    return table[table["y"] > 0] if positive else table


@lru_cache(maxsize=128)
def _specification(
    name: str, curves: tuple[tuple[str, NetworkStyle], ...], look: _Axes, height: int, layers: tuple[_Layer, ...]
) -> Mapping[str, Any]:
    drawn = [_lines(alt.NamedData(f"{name}_{layer.table}"), curves, look, layer) for layer in layers]
    # The wheel alone scrolls the page; with Ctrl it zooms, as in maps on the web.
    zoom = alt.selection_interval(name=_zoom(name), bind="scales", encodings=["x"], zoom="wheel![event.ctrlKey || event.shiftKey]")
    drawn[0] = drawn[0].add_params(zoom).properties(name=f"{name}_view")
    spec: dict[str, Any] = alt.layer(*drawn, height=height, padding=LAST_LABEL).to_dict(validate=False)
    del spec["config"]  # Altair's own theme; the page has one
    return spec


def _zoom(name: str) -> str:
    return f"{name}_zoom"


def _lines(data: alt.NamedData, curves: tuple[tuple[str, NetworkStyle], ...], look: _Axes, layer: _Layer) -> alt.Chart:
    names, styles = [name for name, _ in curves], [style for _, style in curves]
    chart = alt.Chart(data)
    drawn = (
        chart.mark_point(size=26, filled=True, opacity=1)
        if layer.marks
        else chart.mark_line(opacity=layer.opacity, strokeWidth=layer.width)
    )
    encodings: dict[str, Any] = {
        "x": look.x(),
        "y": look.y(),
        "color": alt.Color(
            "curve:N",
            title=None,
            scale=alt.Scale(domain=names, range=[style.color for style in styles]),
            legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1, labelLimit=260)
            if len(names) > 1
            else None,
        ),
        "tooltip": [
            alt.Tooltip("curve:N", title=" "),
            alt.Tooltip("x:Q", title=look.x_title),
            alt.Tooltip("y:Q", title=look.y_title, format=".2%" if look.percent else ".4g"),
        ],
    }
    if not layer.marks:
        dashes = [list(style.dash) or [1, 0] for style in styles]
        encodings["strokeDash"] = alt.StrokeDash("curve:N", title=None, scale=alt.Scale(domain=names, range=dashes), legend=None)
    return drawn.encode(**encodings)
