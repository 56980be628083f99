"""Blocks switched off, swapped or repeated: what the network still knows, at once, beside its plain twin."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.charts.bars import probability_bars
from dashboard.charts.lesions import Band, NetworkValues, accuracy_bars, class_change_bars, loss_bands
from dashboard.charts.theme import network_style
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.blocks.removal import removal_button, show_removed
from dashboard.components.formats import percent
from dashboard.components.names import block_label, image_label, network_label, short_block
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import block_names, file_state, find_twin, own_model, settled_model
from dashboard.measuring import (
    LESION_IMAGES,
    lesion_count,
    lesion_of,
    lesioned_probabilities,
    seconds_per_image,
    some_test_images,
    swappable_blocks,
)
from dashboard.state import ShownImage
from resnet_core.data import Split
from resnet_core.inspection import Lesion, each_block, lesion_accuracies, random_blocks, swapped
from resnet_core.models import place_of
from resnet_core.runs import Checkpoint

RANDOM_IMAGES, DRAWS, MOST_SIZES = 200, 5, 9
MOST_REPEATS = 10
CHART_HEIGHT = 240


@dataclass(frozen=True, kw_only=True)
class _Change:
    """What is done to a network: blocks switched off, and the order of its blocks where that is another one."""

    off: tuple[str, ...] = ()
    order: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        return bool(self.off) or self.order is not None


def lesion_view(checkpoint: Checkpoint, image: ShownImage) -> None:
    networks = [checkpoint, *filter(None, [find_twin(checkpoint)])]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        off = _switches(checkpoint)
        order = _order_picker(checkpoint)
        st.button(t("lesion.reset"), icon=":material/restart_alt:", key="lesion_reset", on_click=_reset, args=(checkpoint,))
        if off and order is None:
            removal_button(checkpoint, image.dataset, off, key="lesion_remove")
    show_removed(checkpoint)
    change = _Change(off=off, order=order)
    numbers, answers, classes = st.columns([1, 1.6, 1.6], gap="medium")
    with numbers:
        lesions = [_accuracy(checkpoint, image.dataset, change)]
        twin = st.container()
        _whole_test_set(networks, image.dataset, change)
    with answers:
        answers_place = st.empty()
        _answers(answers_place, networks[:1], image, change)
    with twin:  # last, so that nobody waits for it to see what happened to the chosen network
        lesions += [_accuracy(network, image.dataset, change) for network in networks[1:]]
    if networks[1:]:
        _answers(answers_place, networks, image, change)
    with classes:
        _class_changes(networks, lesions)
    st.caption(
        f"{t('lesion.read', count=lesion_count(checkpoint, image.dataset))} {t('lesion.read_twin') if networks[1:] else t('lesion.no_twin')}"
    )
    alone, several = st.columns(2, gap="medium")
    with alone:
        _each_alone(networks, image.dataset)
    with several:
        _random_blocks(networks, image.dataset)


# -- what is changed --------------------------------------------------------------------------------------------------------------


def _switches(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The blocks that are switched off, in the order of the forward pass."""
    off: set[str] = set()
    for stage, members in groupby(block_names(checkpoint), key=lambda name: place_of(name)[0]):
        names, key = list(members), _stage_key(stage)
        st.session_state[key] = [name for name in st.session_state.get(key) or [] if name in names]
        off |= set(
            st.pills(
                t("lesion.switch", stage=stage),
                names,
                selection_mode="multi",
                format_func=lambda name: str(place_of(name)[1]),
                key=key,
                help=t("lesion.switch_help"),
                persist_state="session",
            )
        )
    return tuple(name for name in block_names(checkpoint) if name in off)


def _order_picker(checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """Another order of the blocks, None for their own."""
    names, partners = block_names(checkpoint), swappable_blocks(checkpoint)
    with st.popover(t("lesion.order"), icon=":material/swap_horiz:"):
        order = _swap(names, partners)
        repeatable = place_of(names[-1])[1] > 1  # a first block of its stage may change the shape, and would not fit behind itself
        times = st.number_input(
            t("lesion.repeat", block=block_label(names[-1])), 1, MOST_REPEATS, key="lesion_repeat", disabled=not repeatable
        )
        st.caption(t("lesion.order_help"))
    if repeatable:
        order = (*order[:-1], *[order[-1]] * int(times))
    return None if order == names else order


def _swap(names: tuple[str, ...], partners: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    if not partners:
        return names
    if st.session_state.get("lesion_swap") not in (None, *partners):  # chosen on another network
        st.session_state["lesion_swap"] = None
    first = st.selectbox(t("lesion.swap"), [None, *partners], format_func=_or_nothing, key="lesion_swap", placeholder=_or_nothing(None))
    others = partners.get(first, ()) if first else ()
    if st.session_state.get("lesion_swap_with") not in (None, *others):
        st.session_state["lesion_swap_with"] = None
    second = st.selectbox(
        t("lesion.swap_with"), [None, *others], format_func=_or_nothing, key="lesion_swap_with", disabled=not others,
        placeholder=_or_nothing(None),
    )  # fmt: skip
    return swapped(names, first, second) if first and second else names


def _or_nothing(name: str | None) -> str:
    return t("lesion.nothing") if name is None else block_label(name)


def _reset(checkpoint: Checkpoint) -> None:
    for stage in {place_of(name)[0] for name in block_names(checkpoint)}:
        st.session_state[_stage_key(stage)] = []
    st.session_state["lesion_swap"] = st.session_state["lesion_swap_with"] = None
    st.session_state["lesion_repeat"] = 1


def _stage_key(stage: int) -> str:
    return f"lesion_stage_{stage}"


# -- at once ----------------------------------------------------------------------------------------------------------------------


def _accuracy(checkpoint: Checkpoint, dataset: str, change: _Change) -> tuple[Lesion, Lesion]:
    """(whole, changed) of one network, written as soon as it is known."""
    whole = lesion_of(checkpoint, dataset, ())
    changed = lesion_of(checkpoint, dataset, change.off, change.order)
    st.metric(
        network_label(checkpoint.model_name),
        percent(changed.accuracy, 1),
        delta=t("lesion.points", points=100 * (changed.accuracy - whole.accuracy)) if change else t("lesion.unchanged"),
        delta_color="off" if changed.accuracy == whole.accuracy else "normal",
        delta_arrow="off" if changed.accuracy == whole.accuracy else "auto",
        help=t("lesion.metric_help", whole=percent(whole.accuracy, 1), count=lesion_count(checkpoint, dataset)),
    )
    return whole, changed


def _answers(place: DeltaGenerator, networks: Sequence[Checkpoint], image: ShownImage, change: _Change) -> None:
    """What each network says of the chosen image, with all blocks and changed."""
    shown: dict[str, list[float]] = {}
    models: dict[str, str] = {}
    for network in networks:
        label = network_label(network.model_name)
        answers = {t("lesion.whole", network=label): lesioned_probabilities(network, image, (), beside=networks[0])}
        if change:
            answers[t("lesion.changed_network", network=label)] = lesioned_probabilities(
                network, image, change.off, change.order, beside=networks[0]
            )
        shown |= {name: values.tolist() for name, values in answers.items()}
        models |= dict.fromkeys(answers, network.model_name)
    chart = probability_bars(
        networks[0].spec.classes,
        shown,
        models=models,
        x_title=t("lesion.class"),
        y_title=t("lesion.probability"),
        height=CHART_HEIGHT,
    )
    with place.container():
        st.markdown(f"**{t('lesion.answer_title', image=image_label(image))}**")
        alt = t("lesion.answer_alt", network=network_label(networks[0].model_name))
        show_vega(chart, key=f"lesion_answers_{len(networks)}", alt=alt)


def _class_changes(networks: Sequence[Checkpoint], lesions: Sequence[tuple[Lesion, Lesion]]) -> None:
    values = [
        _values(network, (100 * np.subtract(changed.per_class, whole.per_class)).tolist())
        for network, (whole, changed) in zip(networks, lesions, strict=True)
    ]
    st.markdown(f"**{t('lesion.classes_title')}**")
    chart = class_change_bars(networks[0].spec.classes, values, x_title=t("lesion.class"), y_title=t("lesion.change"), height=CHART_HEIGHT)
    show_vega(chart, key="lesion_classes", alt=t("lesion.classes_title"))


def _values(checkpoint: Checkpoint, values: Sequence[float], whole: float = 0.0) -> NetworkValues:
    return NetworkValues(name=network_label(checkpoint.model_name), style=network_style(checkpoint.model_name), values=values, whole=whole)


# -- on request -------------------------------------------------------------------------------------------------------------------


def _studies(networks: Sequence[Checkpoint], images: Sequence[Split], groups: Sequence[Sequence[str]], order: Sequence[str] | None) -> Work:
    """Every group of lesions in one network after the other."""
    models = [settled_model(network) for network in networks]
    total = sum(len(split) for split in images)

    def work(progress: Progress) -> list[tuple[Lesion, ...]]:
        found, before = [], 0
        for network, model, split in zip(networks, models, images, strict=True):
            start = before
            report = lambda done, _: progress(start + done, total)  # noqa: B023, E731  # called before the next round only
            found.append(lesion_accuracies(model, split, network.spec, groups, order=order, progress=report))
            before += len(split)
        return found

    return work


def _whole_test_set(networks: Sequence[Checkpoint], dataset: str, change: _Change) -> None:
    images = [some_test_images(network, dataset, None) for network in networks]
    found = background_job(
        "test set", *map(file_state, networks), dataset, change.off, change.order,
        prepare=lambda: _studies(networks, images, [change.off], change.order),
        label=t("lesion.all_images", count=len(images[0])),
        seconds=_seconds(networks, len(images[0]), 1),
        key="lesion_test_set",
    )  # fmt: skip
    if found is not None:
        said = [
            t("lesion.test_set_one", network=network_label(network.model_name), accuracy=percent(lesion.accuracy))
            for network, (lesion,) in zip(networks, found, strict=True)
        ]
        st.caption(t("lesion.test_set_read", count=len(images[0]), results=t("lesion.comma").join(said)))


def _each_alone(networks: Sequence[Checkpoint], dataset: str) -> None:
    st.subheader(t("lesion.alone_title"), anchor=False)
    names = block_names(networks[0])
    images = [some_test_images(network, dataset, LESION_IMAGES) for network in networks]
    found = background_job(
        "each block", *map(file_state, networks), dataset,
        prepare=lambda: _studies(networks, images, each_block(own_model(networks[0])), None),
        label=t("lesion.alone_start", blocks=len(names), count=len(images[0])),
        seconds=_seconds(networks, len(images[0]), (len(names) + 3) / 2),
        key="lesion_alone",
    )  # fmt: skip
    if found is None:
        st.caption(t("lesion.alone_what"))
        return
    values = [
        _values(network, [lesion.accuracy for lesion in lesions], whole.accuracy)
        for network, (whole, *lesions) in zip(networks, found, strict=True)
    ]
    chart = accuracy_bars(
        [short_block(name) for name in names],
        values,
        chance=_chance(networks[0]),
        x_title=t("lesion.block_axis"),
        y_title=t("lesion.accuracy"),
    )
    show_vega(chart, key="lesion_alone_chart", alt=t("lesion.alone_title"))
    st.caption(t("lesion.alone_read", count=len(images[0]), chance=percent(_chance(networks[0]), 0)))


def _random_blocks(networks: Sequence[Checkpoint], dataset: str) -> None:
    st.subheader(t("lesion.random_title"), anchor=False)
    names = block_names(networks[0])
    sizes = sorted({round(size) for size in np.linspace(1, len(names), min(len(names), MOST_SIZES))})
    groups = ((), *random_blocks(names, sizes, draws=DRAWS))
    images = [some_test_images(network, dataset, RANDOM_IMAGES) for network in networks]
    found = background_job(
        "random blocks", *map(file_state, networks), dataset,
        prepare=lambda: _studies(networks, images, groups, None),
        label=t("lesion.random_start", draws=DRAWS, count=len(images[0])),
        seconds=_seconds(networks, len(images[0]), 0.75 * len(groups)),
        key="lesion_random",
    )  # fmt: skip
    if found is None:
        st.caption(t("lesion.random_what"))
        return
    bands = [_band(network, lesions) for network, lesions in zip(networks, found, strict=True)]
    chart = loss_bands(bands, chance=_chance(networks[0]), x_title=t("lesion.count_axis"), y_title=t("lesion.accuracy"))
    show_vega(chart, key="lesion_random_chart", alt=t("lesion.random_title"))
    st.caption(t("lesion.random_read", draws=DRAWS, count=len(images[0])))


def _band(checkpoint: Checkpoint, lesions: Sequence[Lesion]) -> Band:
    drawn = {size: [lesion.accuracy for lesion in members] for size, members in groupby(lesions, key=lambda lesion: len(lesion.blocks))}
    return Band(
        name=network_label(checkpoint.model_name),
        style=network_style(checkpoint.model_name),
        counts=list(drawn),
        low=[min(values) for values in drawn.values()],
        mean=[float(np.mean(values)) for values in drawn.values()],
        high=[max(values) for values in drawn.values()],
    )


def _seconds(networks: Sequence[Checkpoint], images: int, passes: float) -> float:
    return sum(seconds_per_image(network) for network in networks) * images * passes


def _chance(checkpoint: Checkpoint) -> float:
    return 1 / len(checkpoint.spec.classes)
