"""Attribution maps of two networks in a grid: a row per network, a column per method, one scale that is centred on 0 and said."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import DIVERGING, settled

DIGITS = 5  # of numbers sent to the browser
LONGEST_LINE = 14  # letters


@dataclass(frozen=True, kw_only=True)
class MapCell:
    """`values` (H, W) as measured, drawn from -limit to limit; None where there is nothing to draw, for the reason in `note`."""

    values: NDArray[np.floating] | None
    limit: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """A network (or the difference of both): one cell per column."""

    title: str
    cells: Sequence[MapCell]


def attribution_grid(
    rows: Sequence[MapRow],
    columns: Sequence[str],
    *,
    image: str,
    size: tuple[int, int],
    opacity: float,
    scale_words: tuple[str, str, str],
    place_words: str,
    cell_height: int = 168,
    image_title: str | None = None,
) -> go.Figure:
    """`image` is a link to the picture itself, drawn beside the first row under `image_title` and, where `opacity` < 1, under every map.

    `size` is its (height, width). `scale_words` stand at the ends and the middle of the scale, `place_words` before a place.
    """
    lead = 1 if image_title is not None else 0
    titles = [*([image_title] if lead else []), *(_in_lines(title) for title in columns)]
    lines = max((title.count("<br>") for title in titles), default=0)
    figure = make_subplots(
        rows=len(rows),
        cols=lead + len(columns),
        column_titles=titles,
        horizontal_spacing=0.012,
        vertical_spacing=min(0.2, 26 / (len(rows) * cell_height)),
    )
    height, width = size
    for number, row in enumerate(rows, start=1):
        if lead:
            _picture(figure, image if number == 1 else None, number, height, width)
        for place, cell in enumerate(row.cells, start=1 + lead):
            _cell(
                figure,
                cell,
                number,
                place,
                (height, width),
                image if opacity < 1 else None,
                opacity,
                (row.title, columns[place - 1 - lead], place_words),
            )
        figure.update_yaxes(title={"text": row.title, "standoff": 4}, row=number, col=1)
    figure.update_xaxes(
        range=[-0.5, width - 0.5], matches="x", constrain="domain", showticklabels=False, showgrid=False, zeroline=False, ticks=""
    )
    figure.update_yaxes(
        range=[height - 0.5, -0.5],
        matches="y",
        constrain="domain",
        constraintoward="top",
        showticklabels=False,
        showgrid=False,
        zeroline=False,
        ticks="",
    )
    for axis in range(1, len(rows) * (lead + len(columns)) + 1):
        name = "" if axis == 1 else str(axis)
        figure.layout[f"yaxis{name}"].scaleanchor = f"x{name}"
    figure.update_layout(
        coloraxis={
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -1,
            "cmax": 1,
            "colorbar": {
                "thickness": 10, "x": 1.0, "xpad": 6, "len": 1.0, "ypad": 0, "tickvals": [-1, 0, 1], "ticktext": list(scale_words),
            },
        }
    )  # fmt: skip
    return settled(figure, height=len(rows) * cell_height + 52 + 18 * lines, top=30 + 18 * lines, bottom=34)


def _in_lines(title: str) -> str:
    """A method's name in lines that fit above a map in a narrow window."""
    name, *rest = title.split("<br>")
    return "<br>".join([*textwrap.wrap(name, LONGEST_LINE, break_long_words=False, break_on_hyphens=False), *rest])


def _picture(figure: go.Figure, image: str | None, row: int, height: int, width: int) -> None:
    figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"), row=row, col=1)
    if image is not None:
        _under(figure, image, row, 1, height, width)


def _under(figure: go.Figure, image: str, row: int, column: int, height: int, width: int) -> None:
    x, y = (
        axis.plotly_name.replace("axis", "")
        for axis in (next(figure.select_xaxes(row=row, col=column)), next(figure.select_yaxes(row=row, col=column)))
    )
    figure.add_layout_image(source=image, xref=x, yref=y, x=-0.5, y=-0.5, sizex=width, sizey=height, sizing="stretch", layer="below")


def _cell(
    figure: go.Figure,
    cell: MapCell,
    row: int,
    column: int,
    size: tuple[int, int],
    image: str | None,
    opacity: float,
    words: tuple[str, str, str],
) -> None:
    height, width = size
    figure.update_xaxes(title={"text": cell.note, "standoff": 2, "font": {"size": 11}}, row=row, col=column)
    if cell.values is None:
        figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"), row=row, col=column)
        return
    if image is not None:
        _under(figure, image, row, column, height, width)
    rows, columns = cell.values.shape
    dx, dy = width / columns, height / rows
    title, method, place = words
    figure.add_trace(
        go.Heatmap(
            z=(cell.values / cell.limit).astype(np.float32).round(DIGITS),
            customdata=[[float(f"{value:.{DIGITS}g}") for value in line] for line in cell.values.tolist()],
            x0=dx / 2 - 0.5,  # a pixel's middle is its number
            dx=dx,
            y0=dy / 2 - 0.5,
            dy=dy,
            coloraxis="coloraxis",
            opacity=opacity,
            hovertemplate=f"{title}, {method}<br>{place}<br><b>%{{customdata:.4g}}</b><extra></extra>",
        ),
        row=row,
        col=column,
    )
