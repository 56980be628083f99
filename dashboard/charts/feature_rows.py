"""Maps of one image from layer to layer in a row, all drawn over the same square, so that a coarse map shows as large pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import SEQUENTIAL, settled


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """(H, W), drawn from its own smallest to its own largest value."""

    title: str
    values: NDArray[np.float32]


def feature_row(maps: Sequence[FeatureMap], *, height: int = 190) -> go.Figure:
    """Each under its name and resolution."""
    titles = [f"{one.title}<br>{one.values.shape[0]}×{one.values.shape[1]}" for one in maps]
    figure = make_subplots(rows=1, cols=len(maps), subplot_titles=titles, horizontal_spacing=0.012)
    for place, one in enumerate(maps, start=1):
        rows, columns = one.values.shape
        low, high = float(one.values.min()), float(one.values.max())
        figure.add_trace(
            go.Heatmap(
                z=one.values.round(4),
                x0=0.5 / columns,
                dx=1 / columns,
                y0=0.5 / rows,
                dy=1 / rows,
                zmin=min(low, high - 1e-6) if high > low else 0,
                zmax=high if high > low else max(high, 1e-6),
                colorscale=[list(stop) for stop in SEQUENTIAL],
                showscale=False,
                hovertemplate=f"{one.title}: %{{z:.3g}}<extra></extra>",
            ),
            row=1,
            col=place,
        )
        figure.update_yaxes(range=[1, 0], scaleanchor="x" if place == 1 else f"x{place}", row=1, col=place)
    figure.update_xaxes(range=[0, 1], constrain="domain", visible=False)
    figure.update_yaxes(constrain="domain", constraintoward="top", visible=False)
    figure.update_annotations(font={"size": 12})
    return settled(figure, height=height, top=44, left=0, right=0, bottom=0)
