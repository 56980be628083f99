"""How far each network's certainty can be trusted, and how well each does on every class."""

import pandas as pd
import streamlit as st

from dashboard.charts.answers import ClassBars, ReliabilityLine, class_bars, reliability_chart
from dashboard.components.compare.attributions import Shown
from dashboard.components.compare.data import Answered
from dashboard.components.compare.pair import Pair
from dashboard.components.csv_button import csv_button
from dashboard.components.formats import percent
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from resnet_core.comparison import Answers


def calibration_view(pair: Pair, answered: Answered, shown: Shown) -> None:
    networks = list(zip(pair.labels, pair.styles, (answered.answers.a, answered.answers.b), strict=True))
    left, right = st.columns([1, 1.6], gap="medium")
    with left:
        chart = reliability_chart(
            [_line(*network) for network in networks],
            x_title=t("compare.confidence_axis"),
            y_title=t("compare.right_axis"),
            count_title=t("compare.images"),
        )
        show_vega(chart, key="compare_reliability", alt=t("compare.reliability_alt"))
        errors = " · ".join(t("compare.ece_of", network=label, ece=percent(answers.reliability.error)) for label, _, answers in networks)
        st.caption(t("compare.reliability_read", errors=errors))
    classes = pair.a.spec.classes
    with right:
        chart = class_bars(
            classes,
            [_bars(*network, len(classes)) for network in networks],
            x_title=t("compare.class_axis"),
            y_title=t("compare.class_accuracy_axis"),
        )
        show_vega(chart, key="compare_classes", alt=t("compare.classes_alt"))
        with st.container(horizontal=True, wrap=False, gap="small"):
            csv_button(
                lambda: _csv(pair, answered),
                f"{pair.a.name}-{pair.b.name}-answers.csv",
                help=t("compare.download_answers"),
                key="compare_answers_csv",
            )
            st.caption(t("compare.classes_read", n=f"{len(answered.indices):,}"))


def _line(name: str, style: object, answers: Answers) -> ReliabilityLine:
    bins = [row for row in answers.reliability.bins if row.count]
    return ReliabilityLine(
        name=name,
        style=style,  # type: ignore[arg-type]
        confidence=[row.confidence for row in bins],
        accuracy=[row.accuracy for row in bins],
        counts=[row.count for row in bins],
    )


def _bars(name: str, style: object, answers: Answers, classes: int) -> ClassBars:
    found = [answers.class_accuracy(label) for label in range(classes)]
    return ClassBars(
        name=name,
        style=style,  # type: ignore[arg-type]
        values=[one.value for one in found],
        low=[one.low for one in found],
        high=[one.high for one in found],
    )


def _csv(pair: Pair, answered: Answered) -> bytes:
    """One line per image: its label, and what each network says with which probability."""
    a, b, classes = answered.answers.a, answered.answers.b, pair.a.spec.classes
    table = {
        "index": answered.indices,
        "label": [classes[label] for label in a.labels],
        "a": [classes[answer] for answer in a.predictions],
        "a_probability": a.confidence,
        "b": [classes[answer] for answer in b.predictions],
        "b_probability": b.confidence,
    }
    return pd.DataFrame(table).to_csv(index=False).encode()
