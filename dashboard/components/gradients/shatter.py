"""Direction, not only size: do neighbouring inputs still get similar gradients? On a toy by depth, and on the person's own network."""

import pandas as pd
import streamlit as st

from dashboard.charts.shatter import CorrelationLine, correlation_chart, trace_chart
from dashboard.charts.theme import REFERENCE, NetworkStyle, network_style
from dashboard.components.csv_button import csv_button
from dashboard.components.formats import percent
from dashboard.components.gradients.data import Member, before_training, twin_of
from dashboard.components.names import network_label
from dashboard.components.vega import show_vega
from dashboard.i18n import error_text, t
from dashboard.loading import file_state, images_for, labelled_images, leave_cores_to_trainings, settled_model
from dashboard.measuring import pixels_of
from resnet_core.data import normalize
from resnet_core.errors import UserError
from resnet_core.inspection import (
    LineGradients,
    ToyGradients,
    line_gradients,
    noise_autocorrelation,
    toy_gradients,
)
from resnet_core.inspection.shatter import KINDS, MOST_DEPTH, NOISES, POINTS, WIDTH
from resnet_core.runs import Checkpoint

DEPTH, SEEDS, MOST_SEEDS = 24, 5, 20
NOISE_STYLES = {"white": NetworkStyle(color=REFERENCE, dash=(1, 3)), "brown": NetworkStyle(color="#B0842A", dash=(1, 3))}
BEFORE_DASH = (2, 2)
THUMB = 72  # px
LOW, TALL = 130, 172  # px of a trace; the last one carries the axis


def shatter_view(checkpoint: Checkpoint) -> None:
    """The toy first, which needs no network of one's own; then the line between two test images."""
    st.markdown(t("shatter.means"))
    _toy()
    st.markdown(f"**{t('shatter.own_title', network=network_label(checkpoint.model_name))}**")
    _own(checkpoint)


# -- the toy ----------------------------------------------------------------------------------------------------------------------


def _toy() -> None:
    controls, traces, correlation = st.columns([1, 1.7, 1.7], gap="medium")
    with controls:
        depth = st.slider(t("shatter.depth"), 1, MOST_DEPTH, DEPTH, key="shatter_depth", help=t("shatter.depth_help", width=WIDTH))
        seeds = int(st.number_input(t("shatter.seeds"), 1, MOST_SEEDS, SEEDS, key="shatter_seeds", help=t("shatter.seeds_help")))
    toys = {kind: _toy_of(kind, int(depth), seeds) for kind in KINDS}
    with controls:
        for kind, toy in toys.items():
            st.markdown(t("shatter.toy_says", network=_kind_word(kind), norm=f"{toy.norm:.3g}", lag1=f"{toy.autocorrelation[0]:.2f}"))
        _download(_toy_table(toys), f"shattered-toy-{depth}.csv", "shatter_toy_csv")
    with traces:
        for kind, toy in toys.items():
            last = kind == KINDS[-1]
            chart = trace_chart(
                toy.x,
                toy.gradient,
                style=network_style(kind),
                title=t("shatter.toy_trace", network=_kind_word(kind), depth=depth),
                x_title=t("shatter.toy_x") if last else None,
                y_title="df/dx",
                height=TALL if last else LOW,
            )
            alt = t("shatter.toy_trace_alt", network=_kind_word(kind), depth=depth)
            show_vega(chart, key=f"shatter_trace_{kind}", alt=alt)
    with correlation:
        lines = [
            CorrelationLine(name=_kind_word(kind), style=network_style(kind), lags=toy.lags, values=toy.autocorrelation)
            for kind, toy in toys.items()
        ]
        _correlation([*lines, *_noise_lines()], key="shatter_toy_correlation")
    st.caption(t("shatter.toy_read", points=POINTS, width=WIDTH, seeds=seeds))


@st.cache_data(max_entries=256, show_spinner=False)
def _toy_of(kind: str, depth: int, seeds: int) -> ToyGradients:
    leave_cores_to_trainings()
    return toy_gradients(kind, depth, seeds=seeds)


@st.cache_data(max_entries=4, show_spinner=False)
def _noise_of(kind: str) -> tuple[float, ...]:
    return noise_autocorrelation(kind)


def _kind_word(kind: str) -> str:
    return "ResNet" if kind == "resnet" else "plain"


def _noise_lines() -> list[CorrelationLine]:
    found = {kind: _noise_of(kind) for kind in NOISES}
    return [
        CorrelationLine(
            name=t(f"shatter.noise_{kind}"), style=NOISE_STYLES[kind], lags=range(1, len(values) + 1), values=values, faint=True
        )
        for kind, values in found.items()
    ]


def _toy_table(toys: dict[str, ToyGradients]) -> pd.DataFrame:
    return pd.DataFrame(
        {"lag": toys[KINDS[0]].lags, **{kind: toy.autocorrelation for kind, toy in toys.items()}, **{k: _noise_of(k) for k in NOISES}}
    )


# -- a network of one's own -------------------------------------------------------------------------------------------------------


def _own(checkpoint: Checkpoint) -> None:
    controls, traces, correlation = st.columns([1, 1.7, 1.7], gap="medium")
    with controls:
        ends = _ends(checkpoint)
    if ends is None:
        return
    members = _members(checkpoint)
    with st.spinner(t("shatter.measuring", count=len(members) * POINTS)):
        found = [(member, _line_of(member, *ends)) for member in members]
    shown = found[: 1 if len(members) == 2 else 2]
    with traces:
        for place, (member, line) in enumerate(shown):
            last = place == len(shown) - 1
            chart = trace_chart(
                line.positions,
                line.slope,
                style=network_style(member.model_name),
                title=t("shatter.line_trace", network=member.label, label=checkpoint.spec.classes[line.target]),
                x_title=t("shatter.line_x") if last else None,
                y_title=t("shatter.line_y"),
                height=TALL if last else LOW,
            )
            show_vega(
                chart,
                key=f"shatter_line_{place}",
                alt=t("shatter.line_alt", network=member.label, first=ends[0], second=ends[1]),
            )
    with correlation:
        _correlation([*[_member_line(member, line) for member, line in found], *_noise_lines()], key="shatter_line_correlation")
    with controls:
        first = found[0][1]
        st.markdown(
            t(
                "shatter.line_says",
                network=members[0].label,
                lag1=f"{first.autocorrelation[0]:.2f}",
                lag10=f"{first.autocorrelation[9]:.2f}",
                start=percent(float(first.probability[0]), 1),
                end=percent(float(first.probability[-1]), 1),
                label=checkpoint.spec.classes[first.target],
            )
        )
        _download(_line_table(found), f"{checkpoint.name}-{ends[0]}-{ends[1]}-directions.csv", "shatter_line_csv")
    st.caption(t("shatter.line_read", points=POINTS, step=f"{first.step:.2g}"))


def _ends(checkpoint: Checkpoint) -> tuple[int, int] | None:
    """Two test images by number, with their pictures; None where it is one and the same."""
    spec, images = labelled_images(checkpoint, images_for(checkpoint), "test")
    chosen = []
    for place, (key, default) in enumerate((("first", 0), ("second", 1))):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            index = int(st.number_input(t(f"shatter.{key}"), 0, len(images) - 1, min(default, len(images) - 1), key=f"shatter_{key}"))
            label = spec.classes[int(images.labels[index])]
            st.image(pixels_of(images.images[index]), width=THUMB, alt=t("pick.image_alt", index=index, label=label))
        chosen.insert(place, index)
    if chosen[0] == chosen[1]:
        st.warning(error_text(UserError("same_image", value=chosen[0])), icon=":material/warning:")
        return None
    return chosen[0], chosen[1]


def _members(checkpoint: Checkpoint) -> list[Member]:
    """The chosen network and its twin, then the same two before training; nothing twice."""
    twin = twin_of(checkpoint)
    now = [Member(checkpoint=checkpoint), *([twin] if twin else [])]
    before = [before_training(member.checkpoint) for member in now if not _is_untrained(member)]
    return [*now, *before]


def _is_untrained(member: Member) -> bool:
    return member.is_initial or member.checkpoint.is_first


def _member_line(member: Member, line: LineGradients) -> CorrelationLine:
    style = network_style(member.model_name)
    if member.is_initial:
        style = NetworkStyle(color=style.color, dash=BEFORE_DASH)
    return CorrelationLine(name=member.label, style=style, lags=line.lags, values=line.autocorrelation, faint=member.is_initial)


def _line_of(member: Member, first: int, second: int) -> LineGradients:
    return _line(file_state(member.checkpoint), member.model_name, member.is_initial, first, second, member)


@st.cache_data(max_entries=64, show_spinner=False)
def _line(state: tuple[str, float], model_name: str, initial: bool, first: int, second: int, _member: Member) -> LineGradients:
    leave_cores_to_trainings()
    checkpoint = _member.checkpoint
    _, images = labelled_images(checkpoint, images_for(checkpoint), "test")
    model = settled_model(checkpoint, initial=initial)
    start, end = (normalize(images.images[index : index + 1], checkpoint.spec) for index in (first, second))
    return line_gradients(model, start, end, int(images.labels[first]))


def _line_table(found: list[tuple[Member, LineGradients]]) -> pd.DataFrame:
    """One line per network and lag."""
    return pd.DataFrame(
        [
            {"network": member.model_name, "before_training": member.is_initial, "lag": lag, "autocorrelation": value}
            for member, line in found
            for lag, value in zip(line.lags, line.autocorrelation, strict=True)
        ]
    )


# -- both -------------------------------------------------------------------------------------------------------------------------


def _correlation(lines: list[CorrelationLine], *, key: str) -> None:
    chart = correlation_chart(lines, x_title=t("shatter.lag"), y_title=t("shatter.correlation"), height=TALL + LOW + 16)
    show_vega(chart, key=key, alt=t("shatter.correlation_alt"))


def _download(table: pd.DataFrame, name: str, key: str) -> None:
    csv_button(lambda: table.to_csv(index=False).encode(), name, help=t("shatter.download"), key=key)
