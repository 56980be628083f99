"""Gradient norms over a training as a heatmap, parts of the network by steps (Vega: it grows without being drawn anew)."""

import math
from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.theme import OVERLAP, SEQUENTIAL

MOST_COLUMNS = 120
AXIS = 76  # px of the height that the axis below takes


def binned_norms(steps: Sequence[int], norms: Mapping[str, Sequence[float]], *, columns: int = MOST_COLUMNS) -> pd.DataFrame:
    """At most `columns` stretches of steps: `part`, `start`, `end`, and the geometric mean `norm` of the stretch's norms above 0.

    A stretch without any (a frozen part) is left out.
    """
    rows, end = [], (steps[0] - 1 if steps else 0)
    for stretch in np.array_split(np.arange(len(steps)), min(columns, max(len(steps), 1))):
        if not len(stretch):
            continue
        start, end = end, steps[stretch[-1]]  # without gaps where some steps were not kept
        for part, values in norms.items():
            found = np.asarray(values, dtype=np.float64)[stretch]
            found = found[np.isfinite(found) & (found > 0)]
            if len(found):
                rows.append({"part": part, "start": start, "end": end, "norm": float(np.exp(np.log(found).mean()))})
    return pd.DataFrame(rows, columns=["part", "start", "end", "norm"])


def recorded_norms(steps: Sequence[int], norms: Mapping[str, Sequence[float | None]], *, columns: int = MOST_COLUMNS) -> pd.DataFrame:
    """Like `binned_norms` for norms that were recorded now and then: each stands from the recording before it up to its own step."""
    kept = [steps[int(place)] for place in np.linspace(0, len(steps) - 1, min(columns, len(steps))).round()]
    starts = dict(zip(kept, [0, *kept], strict=False))
    rows = [
        {"part": part, "start": starts[step], "end": step, "norm": value}
        for part, values in norms.items()
        for step, value in zip(steps, values, strict=True)
        if step in starts and value is not None and math.isfinite(value) and value > 0
    ]
    return pd.DataFrame(rows, columns=["part", "start", "end", "norm"])


def norm_heatmap(
    data: pd.DataFrame,
    parts: Mapping[str, str],
    *,
    x_title: str,
    norm_title: str,
    limits: tuple[float, float],
    x_end: float | None = None,
    height: int = 170,
) -> alt.Chart:
    """`data` from `binned_norms`; `parts` gives each part's name for people, from the stem to the head. Logarithmic colours between `limits`."""
    low, high = limits
    words = list(parts.values())
    domain = [0, x_end] if x_end else alt.Undefined
    shown = data.assign(part=data["part"].map(parts))
    return (
        alt.Chart(shown)
        .mark_rect(x2Offset=OVERLAP)
        .encode(
            x=alt.X(
                "start:Q",
                title=x_title,
                scale=alt.Scale(nice=False, zero=False, domain=domain),
                axis=alt.Axis(grid=False, tickMinStep=1, tickCount=6),
            ),
            x2="end:Q",
            y=alt.Y(
                "part:N",
                title=None,
                sort=words[::-1],
                scale=alt.Scale(domain=words[::-1]),
                axis=alt.Axis(labelOverlap=len(words) > (height - AXIS) / 11, labelFlush=False),
            ),
            color=alt.Color(
                "norm:Q",
                title=norm_title,
                scale=alt.Scale(type="log", domain=[low, math.sqrt(low * high), high], range=[color for _, color in SEQUENTIAL]),
                legend=alt.Legend(format="~g", values=_powers(low, high), gradientLength=height - AXIS),
            ),
            tooltip=[
                alt.Tooltip("part:N", title=" "),
                alt.Tooltip("start:Q", title=x_title),
                alt.Tooltip("norm:Q", title=norm_title, format=".3g"),
            ],
        )
        .properties(height=height)
    )


def common_limits(tables: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """One scale for all: whole powers of ten around every norm."""
    values = pd.concat([table["norm"] for table in tables]) if tables else pd.Series(dtype=float)
    if values.empty:
        return 0.1, 10.0
    low, high = math.floor(math.log10(values.min())), math.ceil(math.log10(values.max()))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _powers(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
