"""The desk: what a person draws, what the networks see of it, and what they say. One fragment, so that a stroke runs only this again."""

from itertools import groupby

import numpy as np
import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.charts.bars import probability_bars
from dashboard.components.sketch.collection import offer_to_keep, show_collection
from dashboard.components.sketch.journey import show_journey
from dashboard.components.sketch.networks import Answer, ask_networks, pick_networks, still_learning
from dashboard.components.sketch.pictures import show_pixels
from dashboard.components.sketch.sources import SOURCES, WIDTH, Given, pick_source
from dashboard.components.sketch.why import show_why
from dashboard.components.sketch.words import percent_said
from dashboard.components.vega import show_vega
from dashboard.i18n import error_text, t
from dashboard.navigation import link_to
from resnet_core.data.sketch import SIDE
from resnet_core.errors import UserError
from resnet_core.familiarity import ALARMS, DOUBTS
from resnet_core.prediction import LIKELY, SURE, Verdict, verdict

ENLARGED = 10  # screen pixels per pixel of the image
BLACK = np.zeros((SIDE, SIDE), np.uint8)


@st.fragment
def sketch_desk() -> None:
    with guarded():
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            source = pick_source()
            networks = pick_networks()
        with st.container(horizontal=True, gap="medium"):
            with st.container(width=WIDTH, gap="small"):
                given = _given(source)
            with st.container(width=WIDTH, gap="small"):
                _show_prepared(given)
            with st.container(key="sketch_prediction", gap="small"):
                _show_prediction(source, given, networks)
        _show_journey(given)
        if given is not None and not given.sketch.empty and networks:
            show_why(given, networks)
        show_collection(networks)


def _given(source: str) -> Given | None:
    try:
        return SOURCES[source].show()
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return None


def _show_prepared(given: Given | None) -> None:
    st.markdown(f"**{t('sketch.prepared_title')}**")
    with st.container(key="sketch_prepared"):
        show_pixels(BLACK if given is None else given.sketch.image, factor=ENLARGED, alt=t("sketch.prepared_alt"))
    st.caption(t("sketch.prepared_caption"))


def _show_prediction(source: str, given: Given | None, networks: dict[str, str]) -> None:
    if given is None or given.sketch.empty:
        st.subheader(t(SOURCES[source].waiting), anchor=False)
        st.caption(t(SOURCES[source].waiting_caption))
        return
    if not networks:
        st.caption(t("sketch.choose_networks"))
        return
    answers = sorted(ask_networks(networks, given.sketch.image), key=lambda answer: answer.opinion.classes)
    for _, group in groupby(answers, key=lambda answer: answer.opinion.classes):
        _show_answers(list(group))
    if any(answer.learning for answer in answers):
        _wait_for_learning(networks)
    offer_to_keep(given.sketch.ink)
    if given.image is not None:
        link_to("residual-blocks", label=t("sketch.look_inside"))


def _show_answers(answers: list[Answer]) -> None:
    """Of networks that know the same classes."""
    found = verdict([answer.opinion for answer in answers])
    st.subheader(_headline(found), anchor=False, help=t("sketch.certainty_help", sure=SURE, likely=LIKELY, alarms=ALARMS, doubts=DOUBTS))
    st.markdown(_reason(found, answers))
    chart = probability_bars(
        answers[0].opinion.classes,
        {answer.label: answer.opinion.probabilities.tolist() for answer in answers},
        models={answer.label: answer.model for answer in answers},
        x_title=t("sketch.class"),
        y_title=t("sketch.probability"),
        height=300,
    )
    show_vega(chart, alt=t("sketch.bars_alt"))
    st.caption(" ".join([t("sketch.bars_caption"), *_about_confidence(answers)]))


def _headline(found: Verdict) -> str:
    match found.certainty:
        case "sure":
            return t("sketch.sure", answer=found.answer)
        case "likely":
            return t("sketch.likely", answer=found.answer)
        case "odd":
            return t("sketch.odd", answer=found.answer)
        case "none":
            return t("sketch.none")
        case _:
            return t("sketch.unsure", answer=found.answer, runner_up=found.runner_up)


def _reason(found: Verdict, answers: list[Answer]) -> str:
    said = t("sketch.comma").join(
        t("sketch.says", network=answer.label, answer=answer.opinion.answer, probability=percent_said(answer.opinion.probabilities.max()))
        for answer in answers
    )
    if found.certainty == "none":
        farther = max(answer.opinion.farther for answer in answers if answer.opinion.farther is not None)
        return t("sketch.forced", said=said, farther=_share(farther))
    if len(answers) == 1:
        return t("sketch.one_says", said=said)
    return t("sketch.agree" if found.agree else "sketch.disagree", said=said)


def _share(farther: float) -> str:
    return f"{max(farther, 0.001):.1%}"


def _about_confidence(answers: list[Answer]) -> list[str]:
    """Which probabilities were calibrated."""
    scaled = [answer for answer in answers if answer.opinion.temperature is not None]
    raw = [answer.label for answer in answers if answer.opinion.temperature is None]
    said = []
    if scaled:
        names = t("sketch.comma").join(
            t("sketch.temperature", network=answer.label, temperature=answer.opinion.temperature) for answer in scaled
        )
        said.append(t("sketch.calibrated", networks=names))
    if raw:
        said.append(t("sketch.not_calibrated", networks=t("sketch.comma").join(raw)))
    return said


def _wait_for_learning(networks: dict[str, str]) -> None:
    """Say what is still going on, and look again when it is done."""

    @st.fragment(run_every=1.0)
    def panel() -> None:
        names = still_learning(networks)
        if not names:
            st.rerun()
        st.caption(t("sketch.learning", networks=t("sketch.comma").join(names)))

    panel()


def _show_journey(given: Given | None) -> None:
    st.subheader(t("sketch.journey_title"), anchor=False)
    if given is None or given.sketch.empty:
        st.caption(t("sketch.journey_waiting"))
    elif given.image is not None:
        st.caption(t("sketch.journey_unchanged"))
    else:
        show_journey(given.sketch)
