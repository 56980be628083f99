"""Gradient norms of a network and its twin over the same blocks, on one logarithmic scale, and how a block's gradient splits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.strip import StripBlock, block_axis
from dashboard.charts.theme import REFERENCE, RESIDUAL, SELECTED, SHORTCUT, NetworkStyle, settled

NAMED = 8  # layers whose names have room under the axis
WIDE = 3.0  # powers of ten; an axis that spans more is labelled with powers only


@dataclass(frozen=True, kw_only=True)
class NormLine:
    """One network's norms: at places along the blocks (block k's input at k, layers between), with what the cursor says of each.

    `reference`: drawn thin and grey, to compare with.
    """

    name: str
    style: NetworkStyle
    x: Sequence[float]
    y: Sequence[float]
    texts: Sequence[str]
    reference: bool = False


@dataclass(frozen=True, kw_only=True)
class NormRow:
    title: str
    lines: Sequence[NormLine]


@dataclass(frozen=True, kw_only=True)
class SplitLabels:
    """Words of the pictures of a split."""

    residual: str
    shortcut: str
    y_title: str
    x_title: str


def layer_places(layers: Sequence[str], blocks: Sequence[str]) -> list[float]:
    """Where layers stand along the blocks: those of block k between k - 0.5 and k + 0.5, the stem's before, the head's behind."""
    owners = [next((block for block in blocks if name.startswith(f"{block}.")), None) for name in layers]
    places = []
    for index, owner in enumerate(owners):
        same = [i for i, other in enumerate(owners) if other == owner and (owner or layers[i].split(".")[0] == layers[index].split(".")[0])]
        within = (same.index(index) + 0.5) / len(same) - 0.5
        if owner is not None:
            places.append(blocks.index(owner) + within)
        elif not blocks:
            places.append(float(index))
        else:
            behind = layers[index].split(".")[0] == "head"
            places.append((len(blocks) if behind else -1) + within)
    return places


def norm_figure(
    blocks: Sequence[StripBlock], rows: Sequence[NormRow], *, x_title: str, selected: str | None = None, row_height: int = 150
) -> go.Figure:
    """Rows of curves under each other on logarithmic axes. Points of the first row carry the block's name where they belong to one."""
    figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for number, row in enumerate(rows, start=1):
        for line in row.lines:
            figure.add_trace(_line(line, [block.name for block in blocks], shown=number == 1), row=number, col=1)
        figure.update_yaxes(title={"text": row.title, "standoff": 4}, row=number, col=1)
    if blocks:
        block_axis(figure, blocks, x_title=x_title, rows=len(rows))
        if any(place < -0.6 or place > len(blocks) - 0.4 for row in rows for line in row.lines for place in line.x):
            figure.update_xaxes(range=[-1.5, len(blocks) + 0.5])
        _mark_selected(figure, blocks, selected)
    else:
        named = rows[0].lines[-1].texts if rows and rows[0].lines else []
        ticks = {"tickvals": list(range(len(named))), "ticktext": list(named)} if len(named) <= NAMED else {"nticks": 20}
        figure.update_xaxes(title=x_title, **ticks, row=len(rows), col=1)
    for number, row in enumerate(rows, start=1):
        values, texts = log_ticks([y for line in row.lines for y in line.y if y > 0])
        figure.update_yaxes(type="log", tickvals=values, ticktext=texts, fixedrange=True, row=number, col=1)
    figure.update_layout(hovermode="closest")
    settled(figure, height=row_height * len(rows) + 88, top=48, left=78, bottom=40)
    return figure.update_layout(dragmode=False, legend={"y": 1.0, "yref": "container", "yanchor": "top"})


def log_ticks(values: Sequence[float]) -> tuple[list[float], list[str]]:
    """About four ticks for an axis from the smallest to the largest of these: 1, 2, 5 in every power of ten, or whole powers only."""
    low, high = (math.log10(limit) for limit in (min(values, default=1.0), max(values, default=1.0)))
    if high - low < WIDE:
        steps = (1, 2, 5) if high - low < 1.3 else (1, 3) if high - low < 2 else (1,)
        ticks = [step * 10.0**power for power in range(math.floor(low) - 1, math.ceil(high) + 1) for step in steps]
        return ticks, [f"{tick:.3g}" for tick in ticks]
    powers = range(math.floor(low), math.ceil(high) + 1, math.ceil((high - low) / 4))
    return [10.0**power for power in powers], [f"10<sup>{power}</sup>".replace("-", "−") for power in powers]


def _line(line: NormLine, blocks: Sequence[str], *, shown: bool) -> go.Scatter:
    plain = bool(line.style.dash)
    if line.reference:
        look = {"line": {"color": REFERENCE, "width": 1.5, "dash": "dot"}, "mode": "lines"}
    else:
        marker = {"size": 7, "symbol": "square" if plain else "circle", "color": line.style.color}
        look = {"line": {"color": line.style.color, "width": 2, "dash": line.style.plotly_dash}, "mode": "lines+markers", "marker": marker}
    return go.Scatter(
        x=list(line.x),
        y=[value if value > 0 else None for value in line.y],
        name=line.name,
        legendgroup=line.name,
        showlegend=shown,
        text=list(line.texts),
        customdata=[blocks[round(place)] if 0 <= round(place) < len(blocks) else "" for place in line.x],
        hovertemplate="%{text}: %{y:.3g}<extra>%{fullData.name}</extra>",
        unselected={"marker": {"opacity": 1}},
        **look,
    )


def _mark_selected(figure: go.Figure, blocks: Sequence[StripBlock], selected: str | None) -> None:
    for place, block in enumerate(blocks):
        if block.name == selected:
            figure.add_vline(x=place, line={"color": SELECTED, "width": 1.5}, opacity=0.6, layer="below", row="all", col=1)


def split_figure(
    blocks: Sequence[StripBlock],
    residual: Sequence[float | None],
    shortcut: Sequence[float | None],
    *,
    labels: SplitLabels,
    selected: str | None = None,
    height: int = 250,
) -> go.Figure:
    """Two bars per block: what comes back to x through F and through the shortcut."""
    figure = make_subplots(rows=1, cols=1)
    for name, values, color in ((labels.residual, residual, RESIDUAL), (labels.shortcut, shortcut, SHORTCUT)):
        figure.add_trace(
            go.Bar(
                x=list(range(len(blocks))),
                y=list(values),
                name=name,
                marker={"color": color},
                customdata=[block.name for block in blocks],
                text=[block.label for block in blocks],
                textposition="none",
                hovertemplate=f"%{{text}}<br>{name}: %{{y:.3g}}<extra></extra>",
                unselected={"marker": {"opacity": 1}},
            ),
            row=1,
            col=1,
        )
    block_axis(figure, blocks, x_title=labels.x_title, rows=1)
    _mark_selected(figure, blocks, selected)
    figure.update_yaxes(
        title={"text": labels.y_title, "standoff": 4}, rangemode="tozero", exponentformat="power", nticks=5, fixedrange=True
    )
    figure.update_layout(barmode="group", bargap=0.3, hovermode="x")
    settled(figure, height=height, top=48, left=64, bottom=40)
    return figure.update_layout(dragmode=False, legend={"y": 1.0, "yref": "container", "yanchor": "top"})


NODE = 18  # px, radius: round however wide the page is


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Norms at one block: at the add, through each path, and their sum at x. `is_projection`: the shortcut changes the shape."""

    at_add: float
    residual: float
    shortcut: float
    total: float
    shortcut_name: str


def flow_figure(flow: Flow, *, height: int = 190) -> go.Figure:
    """The gradient's way back through one block, from the add on the right to x on the left; arrows as thick as their norms."""
    figure = go.Figure()
    largest = max(flow.at_add, flow.residual, flow.shortcut, flow.total) or 1.0

    def arrow(x: tuple[float, float], y: tuple[float, float], value: float, color: str) -> None:
        """From the right to the left; `x` and `y` are (start, end)."""
        width = 1.2 + 4.8 * value / largest
        figure.add_annotation(
            x=x[1], y=y[1], ax=x[0], ay=y[0], xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
            arrowhead=2, arrowsize=0.7, arrowwidth=width, arrowcolor=color,
        )  # fmt: skip

    def word(x: float, y: float, text: str, *, size: int = 14, anchor: str = "middle", color: str | None = None) -> None:
        font = {"size": size} | ({"color": color} if color else {})
        figure.add_annotation(x=x, y=y, text=text, showarrow=False, font=font, yanchor=anchor)

    arrow((10, 8.3), (2, 2), flow.at_add, REFERENCE)
    arrow((7.7, 5.8), (2.3, 3.2), flow.at_add, RESIDUAL)
    arrow((4.2, 2.3), (3.2, 2.3), flow.residual, RESIDUAL)
    arrow((7.7, 5.8), (1.7, 0.8), flow.at_add, SHORTCUT)
    arrow((4.2, 2.3), (0.8, 1.7), flow.shortcut, SHORTCUT)
    arrow((1.7, 0.1), (2, 2), flow.total, REFERENCE)
    for y, name, color in ((3.2, "F", RESIDUAL), (0.8, flow.shortcut_name, SHORTCUT)):
        figure.add_shape(type="rect", x0=4.3, x1=5.7, y0=y - 0.42, y1=y + 0.42, line={"color": color, "width": 1.5})
        word(5, y, f"<b>{name}</b>", color=color)
    for x, name in ((8, "+"), (2, "x")):
        figure.add_shape(
            type="circle", xsizemode="pixel", ysizemode="pixel", xanchor=x, yanchor=2, x0=-NODE, x1=NODE, y0=-NODE, y1=NODE,
            line={"color": REFERENCE, "width": 1.5},
        )  # fmt: skip
        word(x, 2, f"<b>{name}</b>")
    for x, y, value in ((9.25, 2.25, flow.at_add), (6.9, 3.3, flow.at_add), (6.9, 0.7, flow.at_add), (3.1, 3.3, flow.residual), (3.1, 0.7, flow.shortcut), (0.85, 2.25, flow.total)):  # fmt: skip
        word(x, y, f"{value:#.3g}", size=13, anchor="bottom" if y > 1 else "top")
    figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"))
    figure.update_xaxes(range=[0, 10], visible=False, fixedrange=True)
    figure.update_yaxes(range=[0, 4], visible=False, fixedrange=True)
    return settled(figure, height=height, top=6, bottom=6).update_layout(dragmode=False)
