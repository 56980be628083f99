"""How the answer to an image forms from block to block, and from where on a network knows it."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.charts.decision import AccuracyLine, Reading, accuracy_lines, reading_bars
from dashboard.charts.theme import network_style
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.formats import percent
from dashboard.components.names import block_label, image_label, network_label, short_block
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import file_state, find_twin, settled_model
from dashboard.measuring import (
    LESION_IMAGES,
    PROBE_IMAGES,
    decision_of,
    label_of,
    lesion_count,
    probe_images,
    seconds_per_image,
    some_test_images,
)
from dashboard.state import ShownImage
from resnet_core.inspection import DecisionReport, Probe, decisions, fit_probes
from resnet_core.runs import Checkpoint

METHODS = {"lens": "decision.lens", "probe": "decision.probe"}
Studied = tuple[Mapping[str, Probe], DecisionReport]


def decision_view(checkpoint: Checkpoint, image: ShownImage) -> None:
    networks = [checkpoint, *filter(None, [find_twin(checkpoint)])]
    tested = lesion_count(checkpoint, image.dataset)
    found = background_job(
        "decisions", *map(file_state, networks), image.dataset,
        prepare=lambda: _study(networks, image.dataset),
        label=t("decision.start", count=tested, training=PROBE_IMAGES),
        seconds=sum(seconds_per_image(network) for network in networks) * (tested + PROBE_IMAGES),
        key="decision_start",
    )  # fmt: skip
    if found is None:
        st.caption(t("decision.what"))
        return
    left, right = st.columns(2, gap="medium")
    with left:
        _one_image(checkpoint, image, found[0][0])
    with right:
        _all_images(networks, found)
    st.caption(t("decision.approximate", training=PROBE_IMAGES))


def _study(networks: Sequence[Checkpoint], dataset: str) -> Work:
    """For each network the probes of its training images and what they and the head read on the test images."""
    prepared = [(n, settled_model(n), probe_images(n), some_test_images(n, dataset, LESION_IMAGES)) for n in networks]
    total = sum(len(training) + len(test) for _, _, training, test in prepared)

    def work(progress: Progress) -> list[Studied]:
        found: list[Studied] = []
        before = 0
        for network, model, training, test in prepared:
            probes = fit_probes(model, training, network.spec, progress=_after(before, total, progress))
            before += len(training)
            found.append((probes, decisions(model, test, network.spec, probes, progress=_after(before, total, progress))))
            before += len(test)
        return found

    return work


def _after(before: int, total: int, progress: Progress) -> Progress:
    return lambda done, _: progress(before + done, total)


def _one_image(checkpoint: Checkpoint, image: ShownImage, probes: Mapping[str, Probe]) -> None:
    report, network = decision_of(checkpoint, image, probes), network_label(checkpoint.model_name)
    classes, answers = checkpoint.spec.classes, report.answers[0]
    final, decided = int(answers[-1]), report.blocks[int(report.decided[0])].name
    st.subheader(t("decision.image_title", image=image_label(image), block=block_label(decided)), anchor=False)
    readings = [
        Reading(
            block=short_block(block.name),
            method=t(METHODS[block.method]),
            probability=float(report.probabilities[0, place, final]),
            answer=classes[int(answers[place])],
        )
        for place, block in enumerate(report.blocks)
    ]
    chart = reading_bars(
        readings,
        faint=t(METHODS["probe"]),
        decided=short_block(decided),
        style=network_style(checkpoint.model_name),
        x_title=t("decision.block_axis"),
        y_title=t("decision.final", answer=classes[final]),
        answer_title=t("decision.answer"),
        method_title=t("decision.method"),
    )
    show_vega(chart, key="decision_image", alt=t("decision.image_alt", network=network))
    label, said = label_of(checkpoint, image), {"network": network, "answer": classes[final], "block": block_label(decided)}
    st.caption(t("decision.own_read", **said) if label is None else t("decision.image_read", **said, label=label))


def _all_images(networks: Sequence[Checkpoint], found: Sequence[Studied]) -> None:
    title = t("decision.set_title", count=len(found[0][1].labels))
    st.subheader(title, anchor=False)
    lines = [
        AccuracyLine(
            name=network_label(network.model_name),
            style=network_style(network.model_name),
            accuracies=[block.accuracy for block in report.blocks],
            methods=[t(METHODS[block.method]) for block in report.blocks],
        )
        for network, (_, report) in zip(networks, found, strict=True)
    ]
    chart = accuracy_lines(
        [short_block(block.name) for block in found[0][1].blocks],
        lines,
        faint=t(METHODS["probe"]),
        x_title=t("decision.block_axis"),
        y_title=t("decision.accuracy"),
        method_title=t("decision.method"),
    )
    show_vega(chart, key="decision_set", alt=title)
    st.caption(" ".join(_counted(network, report) for network, (_, report) in zip(networks, found, strict=True)))


def _counted(checkpoint: Checkpoint, report: DecisionReport) -> str:
    """How many images are decided before the last block, and how many were right and became wrong."""
    early = float((report.decided < len(report.blocks) - 1).mean())
    network = network_label(checkpoint.model_name)
    return t("decision.set_read", network=network, early=percent(early, 0), lost=report.right_then_wrong, count=len(report.labels))
