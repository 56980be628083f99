"""Probabilities without each part of a drawing: a row per part, a column per class."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.theme import REFERENCE

ROW, HEAD = 34, 60  # px: of a row, and of the classes above them
FULL = 0.4  # from here on a field is full enough for a white number, on a white page as on a dark one


def probability_table(
    rows: Sequence[str],
    classes: Sequence[str],
    probabilities: Sequence[NDArray[np.floating]],
    *,
    color: str,
    x_title: str,
    y_title: str,
    value_title: str,
) -> alt.LayerChart:
    """Each (K,) of `probabilities` is a row; the fuller the colour of a field, the likelier its class; numbers from 0.5% on."""
    data = pd.DataFrame(
        [
            {"part": row, "class": label, "probability": float(value), "said": ">99%" if value > 0.99 else f"{value:.0%}"}
            for row, values in zip(rows, probabilities, strict=True)
            for label, value in zip(classes, values, strict=True)
        ]
    )
    base = alt.Chart(data).encode(
        x=alt.X("class:N", title=x_title, sort=list(classes), axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("part:N", title=y_title, sort=list(rows), axis=alt.Axis(labelLimit=220, labelOverlap=False, labelFlush=False)),
    )
    fields = base.mark_rect(stroke="#80808040").encode(
        color=alt.value(color),
        opacity=alt.Opacity("probability:Q", scale=alt.Scale(domain=[0, FULL, FULL + 0.001, 1], range=[0.02, 0.3, 0.7, 1]), legend=None),
        tooltip=[
            alt.Tooltip("part:N", title=y_title),
            alt.Tooltip("class:N", title=x_title),
            alt.Tooltip("probability:Q", title=value_title, format=".1%"),
        ],
    )
    numbers = (
        base.transform_filter("datum.probability >= 0.005")
        .mark_text(fontWeight="bold")
        .encode(text="said:N", color=alt.condition(f"datum.probability > {FULL}", alt.value("white"), alt.value(REFERENCE)))
    )
    return alt.layer(fields, numbers).properties(height=ROW * len(rows) + HEAD)
