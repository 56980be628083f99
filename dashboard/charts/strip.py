"""The strip of all blocks: one bar per block, stages as bands, and the same network at initialisation behind."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import BAND, REFERENCE, SELECTED, NetworkStyle, settled

FORMULA = "#B0842A"  # neither network's colour, and not that of a choice
ERROR_BAR = "rgba(100, 110, 122, 0.9)"  # between the bars' colours and either page


@dataclass(frozen=True, kw_only=True)
class StripBlock:
    """A block's place in the strip: its path, its stage (from 1), and what people call the two."""

    name: str
    stage: int
    label: str
    stage_label: str


@dataclass(frozen=True, kw_only=True)
class StripRow:
    """One measurement over all blocks; None where a block has none. `reference` is the same at initialisation, `spread` the standard
    deviation over images, `guide` a line to compare with inside each stage, `formula` the value that follows from the weights alone,
    `twin` the same of the network's twin."""

    title: str
    values: Sequence[float | None]
    spread: Sequence[float | None] | None = None
    reference: Sequence[float | None] | None = None
    guide: Sequence[float | None] | None = None
    formula: Sequence[float | None] | None = None
    twin: Sequence[float | None] | None = None
    range: tuple[float, float] | None = None
    digits: str = ".2f"


def block_strip(
    blocks: Sequence[StripBlock],
    rows: Sequence[StripRow],
    *,
    style: NetworkStyle,
    value_label: str,
    reference_label: str,
    guide_label: str,
    x_title: str,
    formula_label: str = "",
    twin_label: str = "",
    twin_style: NetworkStyle | None = None,
    selected: str | None = None,
    row_height: int = 112,
) -> go.Figure:
    """Rows of measurements under each other over the same blocks. Points carry the block's name."""
    figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.12 / max(1, len(rows) - 1))
    looks = _Looks(
        style=style,
        value_label=value_label,
        reference_label=reference_label,
        guide_label=guide_label,
        formula_label=formula_label,
        twin_label=twin_label,
        twin_style=twin_style or style,
    )
    for number, row in enumerate(rows, start=1):
        _draw_row(figure, number, row, blocks, looks, selected)
    _name_marks(figure)
    block_axis(figure, blocks, x_title=x_title, rows=len(rows))
    figure.update_yaxes(fixedrange=True, zeroline=True, nticks=5)
    figure.update_layout(barmode="overlay", bargap=0.35, hovermode="x")
    settled(figure, height=row_height * len(rows) + 88, top=48, left=60, bottom=40)
    # The legend stands above the names of the stages.
    return figure.update_layout(dragmode=False, legend={"y": 1.0, "yref": "container", "yanchor": "top"})


def block_axis(figure: go.Figure, blocks: Sequence[StripBlock], *, x_title: str, rows: int) -> None:
    """Blocks along the horizontal axis of all rows, block k at k: stages named and every second one shaded, the last row's axis labelled.

    The axis counts the blocks within their stage; every second or fifth one where there are many.
    """
    _mark_stages(figure, blocks)
    step = 1 if len(blocks) <= 30 else 2 if len(blocks) <= 60 else 5
    numbers = [_number_in_stage(blocks, place) for place in range(len(blocks))]
    figure.update_xaxes(
        range=[-0.6, len(blocks) - 0.4],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        showticklabels=False,
        tickvals=list(range(len(blocks))),  # of every row: what stands at the cursor is the tick's text, else the place among all blocks
        ticktext=[str(number) if (number - 1) % step == 0 else "" for number in numbers],
    )
    figure.update_xaxes(showticklabels=True, title={"text": x_title, "standoff": 2}, row=rows, col=1)


@dataclass(frozen=True, kw_only=True)
class _Looks:
    style: NetworkStyle
    value_label: str
    reference_label: str
    guide_label: str
    formula_label: str
    twin_label: str
    twin_style: NetworkStyle


def _draw_row(figure: go.Figure, number: int, row: StripRow, blocks: Sequence[StripBlock], looks: _Looks, selected: str | None) -> None:
    names = [block.name for block in blocks]
    common = {
        "x": list(range(len(blocks))),
        "customdata": names,
        "text": [block.label for block in blocks],
        "hovertemplate": f"%{{text}}<br>{row.title}: %{{y:{row.digits}}}<extra>%{{fullData.name}}</extra>",
    }
    bars = go.Bar(
        y=list(row.values),
        textposition="none",
        name=looks.value_label,
        legendgroup="value",
        showlegend=False,  # its entry would take the colour of the first bar, chosen or not
        marker={"color": [SELECTED if name == selected else looks.style.color for name in names]},
        unselected={"marker": {"opacity": 1}},  # the click chooses a block; the colour says which
        error_y={"type": "data", "array": list(row.spread), "thickness": 1, "width": 3, "color": ERROR_BAR} if row.spread else None,
        **common,
    )
    figure.add_trace(bars, row=number, col=1)
    if number == 1:
        figure.add_trace(_legend_entry(looks), row=number, col=1)
    if row.reference is not None:
        dash = {"symbol": "line-ew", "size": _mark_size(len(blocks)), "line": {"width": 2.5, "color": REFERENCE}}
        figure.add_trace(_marks(row.reference, "reference", looks.reference_label, dash, common), row=number, col=1)
    if row.formula is not None:
        cross = {"symbol": "x-thin", "size": min(9.0, _mark_size(len(blocks))), "line": {"width": 2, "color": FORMULA}}
        figure.add_trace(_marks(row.formula, "formula", looks.formula_label, cross, common), row=number, col=1)
    if row.twin is not None:
        ring = {"symbol": "diamond", "size": min(9.0, _mark_size(len(blocks))), "color": looks.twin_style.color}
        figure.add_trace(_marks(row.twin, "twin", looks.twin_label, ring, common), row=number, col=1)
    if row.guide is not None:
        for place, (start, end) in enumerate(_stage_ends(blocks)):
            figure.add_trace(_guide(row.guide, start, end, looks.guide_label, first=place == 0), row=number, col=1)
    figure.update_yaxes(title={"text": row.title, "standoff": 4}, range=row.range, rangemode="tozero", row=number, col=1)


def _legend_entry(looks: _Looks) -> go.Bar:
    return go.Bar(x=[None], y=[None], name=looks.value_label, legendgroup="value", marker={"color": looks.style.color})


def _marks(values: Sequence[float | None], group: str, label: str, marker: Mapping[str, Any], common: Mapping[str, Any]) -> go.Scatter:
    return go.Scatter(
        y=list(values),
        mode="markers",
        name=label,
        legendgroup=group,
        showlegend=False,
        marker=marker,
        unselected={"marker": {"opacity": 1}},
        **common,
    )


def _name_marks(figure: go.Figure) -> None:
    """One legend entry for each kind of mark, whichever row it comes in first."""
    named = set()
    for trace in figure.select_traces(selector={"mode": "markers"}):
        if trace.legendgroup not in named and any(value is not None for value in trace.y):
            trace.showlegend = True
            named.add(trace.legendgroup)


def _mark_size(blocks: int) -> float:
    """Pixels; narrower than a column of a strip 700 px wide."""
    return max(3.0, min(22.0, 0.5 * 700 / blocks))


def _guide(values: Sequence[float | None], start: int, end: int, label: str, *, first: bool) -> go.Scatter:
    return go.Scatter(
        x=list(range(start, end)),
        y=list(values[start:end]),
        mode="lines",
        name=label,
        legendgroup="guide",
        showlegend=first,
        hoverinfo="skip",
        line={"dash": "dot", "width": 1.5, "color": REFERENCE},
    )


def _stage_ends(blocks: Sequence[StripBlock]) -> list[tuple[int, int]]:
    ends, start = [], 0
    for _, members in itertools.groupby(blocks, key=lambda block: block.stage):
        end = start + len(list(members))
        ends.append((start, end))
        start = end
    return ends


def _mark_stages(figure: go.Figure, blocks: Sequence[StripBlock]) -> None:
    for start, end in _stage_ends(blocks):
        if blocks[start].stage % 2 == 0:
            figure.add_vrect(x0=start - 0.5, x1=end - 0.5, fillcolor=BAND, line_width=0, layer="below", row="all", col=1)
        figure.add_annotation(
            text=blocks[start].stage_label,
            x=(start + end - 1) / 2,
            y=1.0,
            xref="x",
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            opacity=0.75,
        )


def _number_in_stage(blocks: Sequence[StripBlock], place: int) -> int:
    return int(blocks[place].name.rpartition(".")[2]) + 1  # a network may lack some
