"""The loss while the learning rate climbs: raw behind smoothed, over a logarithmic axis, with the suggested rate."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.theme import RESNET, SELECTED

HEADROOM = 1.5  # times the first smoothed loss: what explodes beyond is cut off


def finder_curve(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
    *,
    x_title: str,
    y_title: str,
    height: int = 220,
) -> alt.LayerChart:
    """`suggestion` is drawn as an upright line."""
    data = pd.DataFrame({"rate": rates, "loss": losses, "smoothed": smoothed})
    low = float(np.min([*losses, *smoothed])) if len(rates) else 0.0
    high = max(HEADROOM * smoothed[0], low + 1e-6) if len(rates) else 1.0
    x = alt.X("rate:Q", title=x_title, scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format=".0e", tickCount=6, grid=False))
    scale = alt.Scale(domain=[low, high], clamp=False, nice=False)

    def line(column: str, opacity: float, width: float) -> alt.Chart:
        tooltip = [alt.Tooltip("rate:Q", title=x_title, format=".2e"), alt.Tooltip(f"{column}:Q", title=y_title, format=".4g")]
        marks = alt.Chart(data).mark_line(color=RESNET, opacity=opacity, strokeWidth=width, clip=True)
        return marks.encode(
            x=x, y=alt.Y(f"{column}:Q", title=y_title, scale=scale, axis=alt.Axis(format="~g", tickCount=5)), tooltip=tooltip
        )

    layers = [line("loss", 0.3, 1), line("smoothed", 1.0, 2)]
    if suggestion is not None:
        rule = alt.Chart(pd.DataFrame({"rate": [suggestion]})).mark_rule(color=SELECTED, strokeWidth=2, strokeDash=[4, 3])
        layers.append(rule.encode(x=x, tooltip=[alt.Tooltip("rate:Q", title=x_title, format=".2e")]))
    return alt.layer(*layers).properties(height=height)
