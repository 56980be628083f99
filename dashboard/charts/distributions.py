"""How the values of a block are spread, and what F does at each position."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from dashboard.charts.theme import settled, symmetric_limit

BINS = 61  # odd: one bin holds 0 in its middle


@dataclass(frozen=True, kw_only=True)
class Values:
    """The numbers of one tensor, its name and its colour."""

    name: str
    values: NDArray[np.floating]
    color: str


@dataclass(frozen=True, kw_only=True)
class Share:
    """One part of a whole, and its colour."""

    name: str
    share: float
    color: str


def histograms(tensors: Sequence[Values], *, x_title: str, y_title: str, height: int = 230) -> go.Figure:
    """Outlines over the same bins, symmetric around 0; counts on a logarithmic axis, since zeros outnumber all else."""
    limit = symmetric_limit([tensor.values for tensor in tensors])
    edges = np.linspace(-limit, limit, BINS + 1)
    figure = go.Figure()
    for tensor in tensors:
        counts, _ = np.histogram(tensor.values, edges)
        figure.add_trace(
            go.Scatter(
                x=(edges[:-1] + edges[1:]) / 2,
                y=[int(count) or None for count in counts],
                mode="lines",
                line={"shape": "hvh", "width": 2, "color": tensor.color},
                name=tensor.name,
                hovertemplate=f"{tensor.name}<br>{x_title} %{{x:.2f}}: %{{y:,}}<extra></extra>",
            )
        )
    figure.update_xaxes(title=x_title, zeroline=True)
    figure.update_yaxes(title=y_title, type="log", dtick=1)
    return settled(figure, height=height, left=50, bottom=40)


def share_bar(shares: Sequence[Share], *, height: int = 96) -> go.Figure:
    """One bar cut into its parts; they add up to 100%."""
    figure = go.Figure()
    for part in shares:
        figure.add_trace(
            go.Bar(
                x=[part.share],
                y=[""],
                orientation="h",
                name=part.name,
                marker={"color": part.color},
                text=[f"{part.share:.0%}" if part.share >= 0.04 else ""],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                hovertemplate=f"{part.name}: %{{x:.1%}}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(range=[0, 1], tickformat=".0%", fixedrange=True, showgrid=False)
    figure.update_yaxes(visible=False, fixedrange=True)
    return settled(figure, height=height, bottom=24, top=34).update_layout(legend={"traceorder": "normal"})
