"""How an answer forms from block to block: what can be read behind each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.charts.theme import REFERENCE, SELECTED, NetworkStyle

FAINT = 0.45  # of readings by a probe, beside those of the network's own head


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read behind one block for one image: the probability of the final answer, and the answer itself."""

    block: str
    method: str
    probability: float
    answer: str


@dataclass(frozen=True, kw_only=True)
class AccuracyLine:
    """A network's accuracy behind each block, and by which method it was read."""

    name: str
    style: NetworkStyle
    accuracies: Sequence[float]
    methods: Sequence[str]


def reading_bars(
    readings: Sequence[Reading],
    *,
    faint: str,
    decided: str,
    style: NetworkStyle,
    x_title: str,
    y_title: str,
    answer_title: str,
    method_title: str,
    height: int = 240,
) -> alt.LayerChart:
    """Bars of the final answer's probability, above each the answer there. `faint` is the method drawn faintly, `decided` the block
    from which on the answer stays."""
    data = pd.DataFrame(
        [
            {"block": r.block, "method": r.method, "final": r.probability, "answer": r.answer, "decided": r.block == decided}
            for r in readings
        ]
    )
    order = [reading.block for reading in readings]
    x = alt.X("block:N", title=x_title, sort=order, axis=alt.Axis(labelAngle=0 if len(order) <= 20 else -90))
    y = alt.Y("final:Q", title=y_title, scale=alt.Scale(domain=[0, 1.12]), axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]))
    tooltip = [
        alt.Tooltip("block:N", title=x_title),
        alt.Tooltip("answer:N", title=answer_title),
        alt.Tooltip("final:Q", title=y_title, format=".1%"),
        alt.Tooltip("method:N", title=method_title),
    ]
    base = alt.Chart(data)
    bars = base.mark_bar().encode(
        x=x,
        y=y,
        color=alt.condition("datum.decided", alt.value(SELECTED), alt.value(style.color)),
        opacity=alt.condition(alt.datum.method == faint, alt.value(FAINT), alt.value(1.0)),
        tooltip=tooltip,
    )
    texts = base.mark_text(dy=-7, fontWeight="bold", color=REFERENCE).encode(x=x, y=y, text="answer:N")
    return alt.layer(bars, texts).properties(height=height)


def accuracy_lines(
    blocks: Sequence[str],
    lines: Sequence[AccuracyLine],
    *,
    faint: str,
    x_title: str,
    y_title: str,
    method_title: str,
    height: int = 240,
) -> alt.LayerChart:
    """Accuracy behind each block; filled points are read by the network's own head, hollow ones by the method `faint`."""
    data = pd.DataFrame(
        [
            {"network": line.name, "block": block, "read": accuracy, "method": method}
            for line in lines
            for block, accuracy, method in zip(blocks, line.accuracies, line.methods, strict=True)
        ]
    )
    names = [line.name for line in lines]
    x = alt.X("block:N", title=x_title, sort=list(blocks), axis=alt.Axis(labelAngle=0 if len(blocks) <= 20 else -90))
    y = alt.Y("read:Q", title=y_title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5))
    colors = alt.Scale(domain=names, range=[line.style.color for line in lines])
    color = alt.Color(
        "network:N",
        title=None,
        scale=colors,
        legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3) if len(names) > 1 else None,
    )
    tooltip = [
        alt.Tooltip("network:N", title=" "),
        alt.Tooltip("block:N", title=x_title),
        alt.Tooltip("read:Q", title=y_title, format=".1%"),
        alt.Tooltip("method:N", title=method_title),
    ]
    dashes = alt.Scale(domain=names, range=[list(line.style.dash) or [1, 0] for line in lines])
    base = alt.Chart(data)
    drawn = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color, strokeDash=alt.StrokeDash("network:N", scale=dashes, legend=None))
    hollow = (
        base.transform_filter(alt.datum.method == faint).mark_point(size=55, strokeWidth=2).encode(x=x, y=y, color=color, tooltip=tooltip)
    )
    filled = base.transform_filter(alt.datum.method != faint).mark_point(size=55, filled=True, opacity=1)
    return alt.layer(drawn, hollow, filled.encode(x=x, y=y, color=color, tooltip=tooltip)).properties(height=height)
