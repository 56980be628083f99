"""Feature maps side by side: one shared scale centred on 0, one colour bar, and a zoom that moves all of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import DIVERGING, settled, symmetric_limit


@dataclass(frozen=True, kw_only=True)
class MapPanel:
    """One picture: values (H, W), or None with a `note` that says why there is nothing (a plain network has no shortcut).

    `texts` (rows of texts, as many as values) replace the plain value under the cursor.
    """

    title: str
    values: NDArray[np.floating] | None
    note: str = ""
    texts: Sequence[Sequence[str]] | None = None


def linked_maps(panels: Sequence[MapPanel], *, value_title: str, limit: float | None = None, height: int = 330) -> go.Figure:
    """All panels in a row on a scale from -limit to limit (default: the largest size in any panel).

    Maps of different resolution cover the same square, so the same place in the image is at the same place in each.
    """
    arrays = [panel.values for panel in panels if panel.values is not None]
    limit = limit or symmetric_limit(arrays)
    rows = max((array.shape[0] for array in arrays), default=1)
    columns = max((array.shape[1] for array in arrays), default=1)
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=[panel.title for panel in panels], horizontal_spacing=0.012)
    for place, panel in enumerate(panels, start=1):
        _draw(figure, panel, place, rows, columns, value_title)
    figure.update_xaxes(range=[0, columns], matches="x", constrain="domain", visible=False)
    figure.update_yaxes(range=[rows, 0], matches="y", constrain="domain", constraintoward="top", visible=False)
    for place in range(1, len(panels) + 1):
        figure.update_yaxes(scaleanchor="x" if place == 1 else f"x{place}", row=1, col=place)
    figure.update_layout(
        coloraxis={
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -limit,
            "cmax": limit,
            "colorbar": {
                "title": {"text": value_title, "side": "top", "font": {"size": 12}},
                "thickness": 12,
                "x": 1.0,
                "xpad": 8,
                "len": 1.0,
                "ypad": 0,
                "tickformat": ".2~g",
                "nticks": 7,
            },
        },
    )
    return settled(figure, height=height, top=50)  # the buttons of the figure stand above its titles


def _draw(figure: go.Figure, panel: MapPanel, place: int, rows: int, columns: int, value_title: str) -> None:
    if panel.values is None:
        note = figure.add_annotation(text=panel.note, x=columns / 2, y=rows / 2, showarrow=False, row=1, col=place)
        note.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"), row=1, col=place)
        return
    height, width = panel.values.shape
    dx, dy = columns / width, rows / height
    figure.add_trace(
        go.Heatmap(
            z=np.asarray(panel.values, dtype=np.float32).round(5),
            x0=dx / 2,
            dx=dx,
            y0=dy / 2,
            dy=dy,
            coloraxis="coloraxis",
            text=panel.texts,
            hovertemplate=f"{panel.title}<br>{value_title}: %{{z:.3g}}<extra></extra>" if panel.texts is None else "%{text}<extra></extra>",
        ),
        row=1,
        col=place,
    )


def tiled(channels: NDArray[np.floating]) -> NDArray[np.floating]:
    """(C, H, W) -> one sheet of all channels, row by row, with one empty (NaN) line between them."""
    count, height, width = channels.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan, dtype=np.float32)
    for place, channel in enumerate(channels):
        row, column = divmod(place, columns)
        top, left = row * (height + 1), column * (width + 1)
        sheet[top : top + height, left : left + width] = channel
    return sheet
