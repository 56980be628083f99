"""Attribution maps of two networks in a grid: a row per network, a column per method, one scale that is centred on 0 and said."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import DIVERGING, settled

DIGITS = 5  # of numbers sent to the browser
LONGEST_LINE = 14  # letters
QUIET = {"constrain": "domain", "showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}  # an axis of pixels


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
    under = {"source": image, "x": -0.5, "y": -0.5, "sizex": width, "sizey": height, "sizing": "stretch", "layer": "below"}
    layout, traces, pictures = figure.to_dict()["layout"], [], []  # plain: Plotly's own objects take ten times as long to change
    for row_number, row in enumerate(rows):
        for column_number, cell in enumerate([*([None] if lead else []), *row.cells]):
            place = row_number * (lead + len(columns)) + column_number + 1
            x, y = (f"{axis}{'' if place == 1 else place}" for axis in "xy")
            note = {"title": {"text": cell.note, "standoff": 2, "font": {"size": 11}}} if cell else {}
            named = {"title": {"text": row.title, "standoff": 4}} if column_number == 0 else {}
            layout[x.replace("x", "xaxis")] |= QUIET | {"range": [-0.5, width - 0.5], "matches": "x"} | note
            layout[y.replace("y", "yaxis")] |= (
                QUIET | {"range": [height - 0.5, -0.5], "matches": "y", "constraintoward": "top", "scaleanchor": x} | named
            )
            if cell is None or cell.values is None:
                traces.append(
                    {"type": "scatter", "x": [None], "y": [None], "showlegend": False, "hoverinfo": "skip", "xaxis": x, "yaxis": y}
                )
                seen = cell is None and row_number == 0
            else:
                words = (row.title, columns[column_number - lead], place_words)
                traces.append(_map(cell.values, cell.limit, (height, width), opacity, words) | {"xaxis": x, "yaxis": y})
                seen = opacity < 1
            if seen:
                pictures.append(under | {"xref": x, "yref": y})
    layout["images"] = pictures
    layout["coloraxis"] = {
        "colorscale": [list(stop) for stop in DIVERGING],
        "cmin": -1,
        "cmax": 1,
        "colorbar": {
            "thickness": 10, "x": 1.0, "xpad": 6, "len": 1.0, "ypad": 0, "tickvals": [-1, 0, 1], "ticktext": list(scale_words),
        },
    }  # fmt: skip
    figure = go.Figure(data=traces, layout=layout)
    return settled(figure, height=len(rows) * cell_height + 52 + 18 * lines, top=30 + 18 * lines, bottom=34)


def _in_lines(title: str) -> str:
    """A method's name in lines that fit above a map in a narrow window."""
    name, *rest = title.split("<br>")
    return "<br>".join([*textwrap.wrap(name, LONGEST_LINE, break_long_words=False, break_on_hyphens=False), *rest])


def _map(values: NDArray[np.floating], limit: float, size: tuple[int, int], opacity: float, words: tuple[str, str, str]) -> dict[str, Any]:
    """The trace of one map; its values fill the image, however few they are."""
    (rows, columns), (height, width) = values.shape, size
    dx, dy = width / columns, height / rows
    title, method, place = words
    return {
        "type": "heatmap",
        "z": (values / limit).astype(np.float32).round(DIGITS),
        "customdata": [[float(f"{value:.{DIGITS}g}") for value in line] for line in values.tolist()],
        "x0": dx / 2 - 0.5,  # a pixel's middle is its number
        "dx": dx,
        "y0": dy / 2 - 0.5,
        "dy": dy,
        "coloraxis": "coloraxis",
        "opacity": opacity,
        "hovertemplate": f"{title}, {method}<br>{place}<br><b>%{{customdata:.4g}}</b><extra></extra>",
    }
