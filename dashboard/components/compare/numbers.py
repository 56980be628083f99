"""Both networks in numbers, and whether their accuracies differ for a reason."""

import pandas as pd
import streamlit as st

from dashboard.components.background_job import background_job
from dashboard.components.compare.data import Answered, conditions_of, cost_of, whole_identity, whole_work
from dashboard.components.compare.pair import Pair
from dashboard.components.formats import literal, number, percent
from dashboard.i18n import has_text, t
from resnet_core.comparison import Answers
from resnet_core.statistics import Interval

MILLION, MEGABYTE = 1e6, 1e6


def numbers_view(pair: Pair, answered: Answered) -> None:
    """A line per network, the verdict on their difference, what their trainings share."""
    answers = (answered.answers.a, answered.answers.b)
    rows = [_row(pair, place, found) for place, found in enumerate(answers)]
    with st.container(key="compare_numbers"):
        st.table(pd.DataFrame(rows).set_index(t("compare.network")), border="horizontal")
    said, shared = st.columns([2, 1], gap="medium", vertical_alignment="center")
    with said:
        st.markdown(_verdict(pair, answered))
    with shared, st.container(gap="xsmall"):
        st.markdown(_conditions_mark(pair), help=_conditions_help(pair))
        if not answered.is_whole:
            _offer_whole(pair, answered)


def _row(pair: Pair, place: int, answers: Answers) -> dict[str, str]:
    weight, accuracy = cost_of(pair.checkpoints[place]), answers.accuracy
    return {
        t("compare.network"): pair.labels[place],
        t("compare.accuracy"): f"**{percent(accuracy.value)}** ({interval(accuracy)})",
        t("compare.loss"): number(answers.evaluation.loss),
        t("compare.ece"): percent(answers.reliability.error),
        t("compare.parameters"): f"{weight.parameters:,}",
        t("compare.macs"): t("compare.millions", value=f"{weight.macs / MILLION:,.1f}"),
        t("compare.speed"): t("compare.seconds", value=number(answers.seconds_per_1000, 2)),
        t("compare.size"): t("compare.megabytes", value=f"{weight.bytes / MEGABYTE:,.2f}"),
    }


def interval(found: Interval) -> str:
    return f"{percent(found.low)} – {percent(found.high)}"


def _verdict(pair: Pair, answered: Answered) -> str:
    """McNemar's test in a sentence, and how the numbers were measured."""
    test, n = answered.answers.mcnemar, len(answered.indices)
    if test.only_a == test.only_b == 0:
        said = t("compare.verdict_same", n=f"{n:,}")
    else:
        key = "compare.verdict_real" if test.is_real else "compare.verdict_chance"
        said = t(key, only_a=test.only_a, only_b=test.only_b, p=probability(test.p), n=f"{n:,}")
    how = t(
        "compare.measured",
        n=f"{n:,}",
        available=f"{answered.available:,}",
        batch=answered.answers.a.batch_size,
        threads=answered.answers.a.threads,
    )
    return f"{said} :small[{how}]"


def probability(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else f"{p:.1e}"


def _offer_whole(pair: Pair, answered: Answered) -> None:
    a, b = answered.answers.a, answered.answers.b
    seconds = (a.expected_seconds_per_1000 + b.expected_seconds_per_1000) * answered.available / 1000
    background_job(
        *whole_identity(pair),
        prepare=lambda: whole_work(pair),
        label=t("compare.whole", n=f"{answered.available:,}"),
        seconds=seconds,
        key="compare_whole",
    )


# -- the two trainings ------------------------------------------------------------------------------------------------------------


def _conditions_mark(pair: Pair) -> str:
    found = conditions_of(pair)
    if found.elsewhere:
        return t("compare.elsewhere")
    if found.same_order and found.same_settings and found.same_weights is not False:
        return t("compare.fair" if found.same_weights else "compare.fair_unknown")
    return t("compare.not_fair", count=len(found.differences))


def _conditions_help(pair: Pair) -> str:
    return "\n".join(f"- {line}" for line in condition_lines(pair))


def condition_lines(pair: Pair) -> list[str]:
    """Initial weights, order of the data, settings: a check mark, or what differs."""
    found = conditions_of(pair)
    if found.elsewhere:
        return [t("compare.elsewhere_unknown", name=literal(name)) for name in found.elsewhere]
    weights = {True: "same", False: "other", None: "unknown"}[found.same_weights]
    lines = [
        t(f"compare.weights_{weights}", shared=found.shared, own=found.own),
        t("compare.order_same" if found.same_order else "compare.order_other"),
    ]
    if found.same_settings:
        return [*lines, t("compare.settings_same")]
    return [*lines, *(t("compare.setting_differs", name=_setting(d.name), a=_value(d.a), b=_value(d.b)) for d in found.differences)]


def _setting(name: str) -> str:
    return t(f"setting.{name}.label") if has_text(f"setting.{name}.label") else name


def _value(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return t("form.true" if value else "form.false")
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
