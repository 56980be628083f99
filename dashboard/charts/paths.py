"""Paths by length: how many there are, what one of them hands back, and what all of them together add to the gradient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import REFERENCE, NetworkStyle, settled


@dataclass(frozen=True, kw_only=True)
class PathBar:
    """One length. `spread` is the standard deviation of `norm` over paths; `part` is exact, `share` the estimate count x norm."""

    length: int
    paths: int
    norm: float
    spread: float
    share: float
    part: float


@dataclass(frozen=True, kw_only=True)
class PathWords:
    """Titles of the three pictures, of their axis, and of the last one's two series."""

    count: str
    norm: str
    part: str
    length: str
    exact: str
    estimate: str


def path_figure(bars: Sequence[PathBar], *, style: NetworkStyle, words: PathWords, height: int = 300) -> go.Figure:
    """Three pictures beside each other over the same lengths; the middle one on a logarithmic scale."""
    figure = make_subplots(rows=1, cols=3, subplot_titles=(words.count, words.norm, words.part), horizontal_spacing=0.075)
    lengths = [bar.length for bar in bars]
    where = f"{words.length}: %{{x}}<br>"
    figure.add_trace(
        go.Bar(
            x=lengths,
            y=[bar.paths for bar in bars],
            marker={"color": REFERENCE},
            showlegend=False,
            hovertemplate=f"{where}{words.count}: %{{y:,}}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(_norms(bars, style, f"{where}{words.norm}: %{{y:.3g}} ± %{{customdata:.2g}}<extra></extra>"), row=1, col=2)
    exact = go.Bar(
        x=lengths,
        y=[bar.part for bar in bars],
        name=words.exact,
        marker={"color": style.color},
        hovertemplate=f"{where}{words.exact}: %{{y:.1%}}<extra></extra>",
    )
    estimate = go.Scatter(
        x=lengths,
        y=[bar.share for bar in bars],
        name=words.estimate,
        mode="lines+markers",
        line={"color": REFERENCE, "width": 1.5, "dash": "dot"},
        marker={"color": REFERENCE, "size": 5},
        hovertemplate=f"{where}{words.estimate}: %{{y:.1%}}<extra></extra>",
    )
    figure.add_traces([exact, estimate], rows=1, cols=3)
    figure.update_xaxes(title={"text": words.length, "standoff": 4}, showgrid=False, zeroline=False, fixedrange=True, tickformat="d")
    figure.update_xaxes(range=[-0.7, lengths[-1] + 0.7])
    figure.update_yaxes(fixedrange=True, nticks=5, rangemode="tozero")
    figure.update_yaxes(tickformat="~s", row=1, col=1)
    powers = _powers(bars)
    ticks: dict[str, Any] = {"exponentformat": "power", "dtick": 1 if powers <= 5 else 2} if powers else {"tickformat": ".1e"}
    figure.update_yaxes(type="log", **ticks, row=1, col=2)
    figure.update_yaxes(tickformat=".0%", row=1, col=3)
    figure.update_annotations(font={"size": 14})
    settled(figure, height=height, top=64, left=46, bottom=40)
    above: dict[str, Any] = {"x": 1.0, "xanchor": "right", "y": 1.0, "yref": "container", "yanchor": "top"}
    return figure.update_layout(dragmode=False, bargap=0.25, legend=above)


def _norms(bars: Sequence[PathBar], style: NetworkStyle, hover: str) -> go.Scatter:
    """Norms above 0, since a logarithmic axis has no 0. The spread is left to the cursor: it is as large as the norm itself."""
    shown = [bar for bar in bars if bar.norm > 0]
    return go.Scatter(
        x=[bar.length for bar in shown],
        y=[bar.norm for bar in shown],
        mode="lines+markers",
        showlegend=False,
        line={"color": style.color, "width": 2},
        marker={"color": style.color, "size": 6},
        customdata=[bar.spread for bar in shown],
        hovertemplate=hover,
    )


def _powers(bars: Sequence[PathBar]) -> int:
    """How many powers of ten the norms span."""
    norms = [bar.norm for bar in bars if bar.norm > 0]
    return int(math.log10(max(norms) / min(norms))) if norms else 0
