"""Two networks' answers: the matrix of one against the other, and how sure they are against how often they are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.theme import REFERENCE, SELECTED, SEQUENTIAL, NetworkStyle

CELL = "cell"  # the name of the selection: a click gives the cell's `row` and `column`
MOST_NUMBERS = 20  # classes up to which each cell shows its count


def answer_matrix(
    counts: NDArray[np.int64],
    classes: Sequence[str],
    *,
    row_title: str,
    column_title: str,
    count_title: str,
    selected: tuple[int, int] | None,
    height: int | None = None,
) -> alt.LayerChart:
    """Rows from the top. Cells without images stay empty; colour grows with the logarithm, since the diagonal holds nearly all."""
    rows, columns = np.nonzero(counts)
    if selected is not None and not counts[selected]:
        rows, columns = np.append(rows, selected[0]), np.append(columns, selected[1])
    data = pd.DataFrame(
        {
            "row": rows,
            "column": columns,
            "row_name": [classes[r] for r in rows],
            "column_name": [classes[c] for c in columns],
            "count": counts[rows, columns],
            "chosen": [(r, c) == selected for r, c in zip(rows.tolist(), columns.tolist(), strict=True)],
        }
    )
    order = list(classes)
    height = height or (240 if max(map(len, classes)) <= 2 else 300)  # long names stand aslant below
    small = len(classes) <= MOST_NUMBERS
    labels = alt.Axis(
        ticks=False,
        domain=False,
        labelLimit=70,
        labelAngle=0 if max(map(len, classes)) <= 2 else -45,
        labelOverlap=not small,
        labelFlush=False,
    )
    side = alt.Axis(ticks=False, domain=False, labelLimit=70, labelOverlap=not small, labelFlush=False)
    x = alt.X("column_name:N", title=column_title, sort=order, scale=alt.Scale(domain=order), axis=labels)
    y = alt.Y("row_name:N", title=row_title, sort=order, scale=alt.Scale(domain=order), axis=side)
    base = alt.Chart(data)
    chosen = alt.selection_point(name=CELL, fields=["row", "column"], clear=False)
    cells = (
        base.mark_rect(cursor="pointer")
        .encode(
            x=x,
            y=y,
            color=alt.Color("count:Q", scale=alt.Scale(type="symlog", range=[color for _, color in SEQUENTIAL]), legend=None),
            stroke=alt.condition("datum.chosen", alt.value(SELECTED), alt.value(None)),
            strokeWidth=alt.condition("datum.chosen", alt.value(3), alt.value(0)),
            tooltip=[
                alt.Tooltip("row_name:N", title=row_title),
                alt.Tooltip("column_name:N", title=column_title),
                alt.Tooltip("count:Q", title=count_title),
            ],
        )
        .add_params(chosen)
    )
    middle = float(np.sqrt(max(1, counts.max())))
    texts = base.mark_text(fontSize=11).encode(
        x=x, y=y, text="count:Q", color=alt.condition(f"datum.count > {middle}", alt.value("#FFFFFF"), alt.value("#1B2430"))
    )
    return alt.layer(cells, *([texts] if small else [])).properties(height=height)


@dataclass(frozen=True, kw_only=True)
class ReliabilityLine:
    """A network's bins that hold answers: how sure, how often right, how many."""

    name: str
    style: NetworkStyle
    confidence: Sequence[float]
    accuracy: Sequence[float]
    counts: Sequence[int]


def reliability_chart(
    lines: Sequence[ReliabilityLine], *, x_title: str, y_title: str, count_title: str, height: int = 260
) -> alt.LayerChart:
    """On the dashed diagonal a network is right as often as it is sure; below it is too sure. Points grow with the number of answers."""
    data = pd.DataFrame(
        [
            {"network": line.name, "confidence": sure, "accuracy": right, "count": count}
            for line in lines
            for sure, right, count in zip(line.confidence, line.accuracy, line.counts, strict=True)
        ],
        columns=["network", "confidence", "accuracy", "count"],
    )
    names = [line.name for line in lines]
    x = alt.X("confidence:Q", title=x_title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5))
    y = alt.Y("accuracy:Q", title=y_title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5))
    color = alt.Color(
        "network:N",
        title=None,
        scale=alt.Scale(domain=names, range=[line.style.color for line in lines]),
        legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3),
    )
    dashes = alt.Scale(domain=names, range=[list(line.style.dash) or [1, 0] for line in lines])
    tooltip = [
        alt.Tooltip("network:N", title=" "),
        alt.Tooltip("confidence:Q", title=x_title, format=".1%"),
        alt.Tooltip("accuracy:Q", title=y_title, format=".1%"),
        alt.Tooltip("count:Q", title=count_title),
    ]
    exact = alt.Chart(pd.DataFrame({"x": [0, 1]})).mark_line(color=REFERENCE, strokeDash=[4, 4]).encode(x="x:Q", y="x:Q")
    base = alt.Chart(data)
    drawn = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color, strokeDash=alt.StrokeDash("network:N", scale=dashes, legend=None))
    size = alt.Size("count:Q", scale=alt.Scale(type="sqrt", range=[25, 260]), legend=None)
    points = base.mark_circle(opacity=0.85).encode(x=x, y=y, color=color, size=size, tooltip=tooltip)
    return alt.layer(exact, drawn, points).properties(height=height)


@dataclass(frozen=True, kw_only=True)
class ClassBars:
    """A network's accuracy per class with its 95% interval; nan where a class has no images."""

    name: str
    style: NetworkStyle
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def class_bars(classes: Sequence[str], networks: Sequence[ClassBars], *, x_title: str, y_title: str, height: int = 260) -> alt.LayerChart:
    """One point per network and class, its interval as a line; the axis begins below the lowest interval."""
    data = pd.DataFrame(
        [
            {"network": n.name, "class": label, "accuracy": value, "low": low, "high": high}
            for n in networks
            for label, value, low, high in zip(classes, n.values, n.low, n.high, strict=True)
            if not np.isnan(value)
        ],
        columns=["network", "class", "accuracy", "low", "high"],
    )
    names = [n.name for n in networks]
    floor = max(0.0, float(np.floor(20 * data["low"].min()) / 20)) if len(data) else 0.0
    x = alt.X(
        "class:N", title=x_title, sort=list(classes), axis=alt.Axis(labelAngle=0 if max(map(len, classes)) <= 4 else -45, labelLimit=90)
    )
    offset = alt.XOffset("network:N", sort=names)
    y = alt.Y("accuracy:Q", title=y_title, scale=alt.Scale(domain=[floor, 1], clamp=True), axis=alt.Axis(format=".0%", tickCount=5))
    color = alt.Color(
        "network:N", title=None, scale=alt.Scale(domain=names, range=[n.style.color for n in networks]), legend=alt.Legend(orient="top")
    )
    tooltip = [alt.Tooltip("network:N", title=" "), alt.Tooltip("class:N", title=x_title)]
    tooltip += [alt.Tooltip(f"{part}:Q", title=sign, format=".2%") for part, sign in (("low", "↓"), ("accuracy", y_title), ("high", "↑"))]
    base = alt.Chart(data)
    spans = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=x, xOffset=offset, y=alt.Y("low:Q", title=y_title), y2="high:Q", color=color
    )
    points = base.mark_point(filled=True, size=55, opacity=1).encode(x=x, xOffset=offset, y=y, color=color, tooltip=tooltip)
    return alt.layer(spans, points).properties(height=height)
