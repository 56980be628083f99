"""The strip of all blocks: one bar per block, stages as bands, and the same network at initialisation behind."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import BAND, REFERENCE, SELECTED, NetworkStyle, settled


@dataclass(frozen=True, kw_only=True)
class StripBlock:
    """A block's place in the strip: its path, its stage (from 1) and what people call it."""

    name: str
    stage: int
    label: str


@dataclass(frozen=True, kw_only=True)
class StripRow:
    """One measurement over all blocks; None where a block has none. `reference` is the same at initialisation."""

    title: str
    values: Sequence[float | None]
    reference: Sequence[float | None] | None = None
    range: tuple[float, float] | None = None
    digits: str = ".2f"


def block_strip(
    blocks: Sequence[StripBlock],
    rows: Sequence[StripRow],
    *,
    style: NetworkStyle,
    value_label: str,
    reference_label: str,
    stage_label: str,
    selected: str | None = None,
    row_height: int = 120,
) -> go.Figure:
    """Rows of measurements under each other over the same blocks. `stage_label` has a {stage}; points carry the block's name."""
    figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.09)
    places = list(range(len(blocks)))
    for number, row in enumerate(rows, start=1):
        _draw_row(figure, number, row, blocks, style, value_label, reference_label, selected)
    _mark_stages(figure, blocks, stage_label, len(rows))
    figure.update_xaxes(range=[-0.6, len(blocks) - 0.4], showgrid=False, zeroline=False, fixedrange=True, showticklabels=False)
    figure.update_xaxes(
        tickvals=places, ticktext=[_number_in_stage(blocks, place) for place in places], showticklabels=True, row=len(rows), col=1
    )
    figure.update_yaxes(fixedrange=True, zeroline=True, rangemode="tozero")
    figure.update_layout(barmode="overlay", bargap=0.35, hovermode="x")
    return settled(figure, height=row_height * len(rows) + 70, top=48, left=50, bottom=24).update_layout(dragmode=False)


def _draw_row(
    figure: go.Figure,
    number: int,
    row: StripRow,
    blocks: Sequence[StripBlock],
    style: NetworkStyle,
    value_label: str,
    reference_label: str,
    selected: str | None,
) -> None:
    names, labels = [block.name for block in blocks], [block.label for block in blocks]
    hover = f"%{{text}}<br>{row.title}: %{{y:{row.digits}}}<extra>%{{fullData.name}}</extra>"
    figure.add_trace(
        go.Bar(
            x=list(range(len(blocks))),
            y=list(row.values),
            customdata=names,
            text=labels,
            textposition="none",
            name=value_label,
            legendgroup="value",
            showlegend=number == 1,
            marker={"color": [SELECTED if name == selected else style.color for name in names]},
            hovertemplate=hover,
        ),
        row=number,
        col=1,
    )
    if row.reference is not None:
        figure.add_trace(
            go.Scatter(
                x=list(range(len(blocks))),
                y=list(row.reference),
                customdata=names,
                text=labels,
                mode="markers",
                name=reference_label,
                legendgroup="reference",
                showlegend=number == 1,
                marker={"symbol": "line-ew", "size": 22, "line": {"width": 2.5, "color": REFERENCE}},
                hovertemplate=hover,
            ),
            row=number,
            col=1,
        )
    figure.update_yaxes(title={"text": row.title, "standoff": 4}, range=row.range, row=number, col=1)


def _mark_stages(figure: go.Figure, blocks: Sequence[StripBlock], stage_label: str, rows: int) -> None:
    start = 0
    for stage, members in itertools.groupby(blocks, key=lambda block: block.stage):
        end = start + len(list(members))
        if stage % 2 == 0:
            figure.add_vrect(x0=start - 0.5, x1=end - 0.5, fillcolor=BAND, line_width=0, layer="below", row="all", col=1)
        figure.add_annotation(
            text=stage_label.format(stage=stage),
            x=(start + end - 1) / 2,
            y=1.0,
            xref="x",
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            opacity=0.75,
        )
        start = end


def _number_in_stage(blocks: Sequence[StripBlock], place: int) -> str:
    return str(sum(block.stage == blocks[place].stage for block in blocks[: place + 1]))
