"""One measurement of every block over a training as a heatmap, blocks by steps (Vega: it grows without being drawn anew)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.theme import DIVERGING, OVERLAP, SELECTED, SEQUENTIAL

MOST_COLUMNS = 120
CELL = "cell"  # the name of the selection: a click gives the cell's `name` and `step`
ROW, GAP = 10, 4  # height of a block and of the border between two stages, in units of the vertical axis
COLUMNS = ["name", "label", "step", "start", "end", "bottom", "top", "value"]


def history_cells(
    records: Mapping[int, Mapping[str, float | None]], labels: Mapping[str, str], *, columns: int = MOST_COLUMNS
) -> pd.DataFrame:
    """One row per recording and block: the value, and the cell that stands for it.

    `records` holds values by block by step, `labels` all blocks in the order of the forward pass. A cell reaches half-way to the
    recordings before and after; of more than `columns` recordings, evenly spaced ones are taken, the last one among them.
    """
    steps = sorted(records)
    if len(steps) > columns:
        steps = [steps[place] for place in np.linspace(0, len(steps) - 1, columns).round().astype(int)]
    borders = _borders(steps)
    places = row_places(list(labels))
    rows = [
        (name, labels[name], step, start, end, places[name], places[name] + ROW, records[step][name])
        for step, start, end in zip(steps, borders, borders[1:], strict=False)
        for name in labels
        if records[step].get(name) is not None
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _borders(steps: Sequence[int]) -> list[float]:
    """Half-way between neighbours, and as far beyond both ends, but not below 0."""
    if not steps:
        return []
    between = [(first + second) / 2 for first, second in itertools.pairwise(steps)]
    before = between[0] - steps[0] if between else steps[0]
    after = steps[-1] - between[-1] if between else steps[-1]
    return [max(0.0, steps[0] - before), *between, steps[-1] + after]


def row_places(names: Sequence[str]) -> dict[str, int]:
    """Where each block's row begins, from the bottom, with a gap where a stage (`stages.K`) ends."""
    places, place = {}, 0
    for before, name in zip([None, *names], names, strict=False):
        if before is not None and before.rpartition(".")[0] != name.rpartition(".")[0]:
            place += GAP
        places[name] = place
        place += ROW
    return places


def history_heatmap(
    cells: pd.DataFrame,
    blocks: Mapping[str, str],
    *,
    x_title: str,
    y_title: str,
    value_title: str,
    digits: str,
    diverging: bool = False,
    limit: float | None = None,
    x_end: float | None = None,
    selected: str | None = None,
) -> alt.Chart:
    """`cells` from `history_cells`; `blocks` gives the short name of each. Colours from 0 (or -limit) to `limit`, else to the largest value."""
    places = row_places(list(blocks))
    top = max(places.values(), default=0) + ROW
    far = limit or float(cells["value"].abs().max()) or 1.0
    end = x_end if x_end and x_end >= cells["step"].max() else float(cells["end"].max())
    cells = cells.assign(end=cells["end"].clip(upper=end))
    chosen = alt.selection_point(name=CELL, fields=["name", "step"], clear=False)
    return (
        alt.Chart(cells)
        .mark_rect(x2Offset=OVERLAP, cursor="pointer")
        .encode(
            x=alt.X(
                "start:Q",
                title=x_title,
                scale=alt.Scale(nice=False, zero=False, domain=[0, end]),
                axis=alt.Axis(grid=False, tickMinStep=1, tickCount=6),
            ),
            x2="end:Q",
            y=alt.Y("bottom:Q", title=y_title, scale=alt.Scale(nice=False, domain=[0, top]), axis=_axis(places, blocks, selected)),
            y2="top:Q",
            color=alt.Color(
                "value:Q",
                title=value_title,
                scale=alt.Scale(
                    domain=[-far, 0, far] if diverging else [0, far / 2, far],
                    range=[color for place, color in DIVERGING if place in (0.0, 0.5, 1.0)] if diverging else [c for _, c in SEQUENTIAL],
                    clamp=True,
                ),
                legend=alt.Legend(format=digits, gradientLength=120),
            ),
            tooltip=[
                alt.Tooltip("label:N", title=" "),
                alt.Tooltip("step:Q", title=x_title),
                alt.Tooltip("value:Q", title=value_title, format=digits),
            ],
        )
        .add_params(chosen)
        .properties(height=max(170, min(460, 26 * len(blocks) + 60)))
    )


def _axis(places: Mapping[str, int], blocks: Mapping[str, str], selected: str | None) -> alt.Axis:
    """Names at the middle of the rows, every second or fifth one where there are many; the chosen block's in the colour of a choice."""
    every = 1 if len(places) <= 20 else 2 if len(places) <= 40 else 5
    shown = [name for place, name in enumerate(places) if place % every == 0 or name == selected]
    middles = {name: places[name] + ROW // 2 for name in shown}
    words = ", ".join(f"'{middle}': '{blocks[name]}'" for name, middle in middles.items())
    color: Any = alt.Undefined
    if selected in middles:
        color = {"condition": {"test": f"datum.value == {middles[selected]}", "value": SELECTED}, "value": "#808A96"}
    return alt.Axis(
        grid=False, ticks=False, domain=False, values=list(middles.values()), labelExpr=f"({{{words}}})[datum.value]", labelColor=color
    )
