"""How alike the blocks of two networks are, and where their last features lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.theme import SELECTED, SEQUENTIAL, SERIES

POINT = "point"  # the name of the selection: a click gives the point's `index`
SHORT = 2  # characters of a class name that stand in the picture itself


def cka_heatmap(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], *, row_title: str, column_title: str, value_title: str
) -> alt.LayerChart:
    """Rows from the bottom, so that equal depth lies on the diagonal that rises to the right; colours from 0 to 1, numbers where they fit."""
    data = pd.DataFrame(
        [
            {"row": row, "column": column, "value": values[i, j]}
            for i, row in enumerate(rows)
            for j, column in enumerate(columns)
            if np.isfinite(values[i, j])
        ],
        columns=["row", "column", "value"],
    )
    few = max(len(rows), len(columns)) <= 12
    angle = 0 if max(map(len, columns)) <= 4 and few else -90
    x = alt.X(
        "column:N",
        title=column_title,
        sort=list(columns),
        axis=alt.Axis(labelAngle=angle, ticks=False, domain=False, labelLimit=110, labelFlush=False),
    )
    side = alt.Axis(ticks=False, domain=False, labelLimit=110, labelFlush=False)
    y = alt.Y("row:N", title=row_title, sort=list(reversed(rows)), axis=side)
    base = alt.Chart(data)
    cells = base.mark_rect().encode(
        x=x,
        y=y,
        color=alt.Color(
            "value:Q",
            title=value_title,
            scale=alt.Scale(domain=[0, 0.5, 1], range=[color for _, color in SEQUENTIAL], clamp=True),
            legend=alt.Legend(gradientLength=160, format=".1f"),
        ),
        tooltip=[
            alt.Tooltip("row:N", title=row_title),
            alt.Tooltip("column:N", title=column_title),
            alt.Tooltip("value:Q", title=value_title, format=".3f"),
        ],
    )
    texts = base.mark_text(fontSize=11).encode(
        x=x,
        y=y,
        text=alt.Text("value:Q", format=".2f"),
        color=alt.condition("datum.value > 0.55", alt.value("#FFFFFF"), alt.value("#1B2430")),
    )
    height = max(220, min(560, 26 * len(rows) + 60))
    return alt.layer(cells, *([texts] if few else [])).properties(height=height)


@dataclass(frozen=True, kw_only=True)
class Points:
    """One network's images in the plane: coordinates (N, 2), label, answer and number of each."""

    points: NDArray[np.float64]
    labels: Sequence[str]
    answers: Sequence[str]
    indices: NDArray[np.int64]


def projection_chart(
    found: Points,
    classes: Sequence[str],
    *,
    x_title: str,
    y_title: str,
    label_title: str,
    answer_title: str,
    selected: int,
    height: int = 320,
) -> alt.LayerChart:
    """Coloured by label; a short class name stands for its points. The selected image has a ring."""
    data = pd.DataFrame(
        {
            "x": found.points[:, 0],
            "y": found.points[:, 1],
            "label": list(found.labels),
            "answer": list(found.answers),
            "index": found.indices,
        }
    )
    short = max(map(len, classes)) <= SHORT
    x = alt.X("x:Q", title=x_title, axis=alt.Axis(grid=False, tickCount=5), scale=alt.Scale(zero=False))
    y = alt.Y("y:Q", title=y_title, axis=alt.Axis(grid=False, tickCount=5), scale=alt.Scale(zero=False))
    colors = [SERIES[place % len(SERIES)] for place in range(len(classes))]
    color = alt.Color(
        "label:N", scale=alt.Scale(domain=list(classes), range=colors), legend=None if short else alt.Legend(title=None, columns=1)
    )
    tooltip = [
        alt.Tooltip("index:Q", title="#"),
        alt.Tooltip("label:N", title=label_title),
        alt.Tooltip("answer:N", title=answer_title),
    ]
    chosen = alt.selection_point(name=POINT, fields=["index"], clear=False)
    base = alt.Chart(data)
    drawn = base.mark_text(fontSize=13, fontWeight="bold", cursor="pointer") if short else base.mark_circle(size=45, cursor="pointer")
    channels = {"x": x, "y": y, "color": color, "tooltip": tooltip}
    marks = drawn.encode(**channels, text="label:N") if short else drawn.encode(**channels)
    wrong = base.transform_filter("datum.label != datum.answer").mark_point(size=260, strokeWidth=1.5)
    ring = base.transform_filter(alt.datum.index == selected).mark_point(size=420, strokeWidth=3, color=SELECTED)
    return alt.layer(marks.add_params(chosen), wrong.encode(x=x, y=y, color=color), ring.encode(x=x, y=y)).properties(height=height)
