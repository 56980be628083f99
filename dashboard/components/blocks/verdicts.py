"""What the measurements of all blocks add up to: findings in words, each with its evidence, its threshold and a next step."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.blocks.removal import removal_button, show_removed
from dashboard.components.formats import PERCENT
from dashboard.components.names import before_label, block_label, network_label
from dashboard.i18n import t
from dashboard.loading import block_names, file_state, own_model
from dashboard.measuring import LESION_IMAGES, lesion_count, seconds_per_image, some_test_images
from dashboard.state import ShownImage, select
from resnet_core.inspection import FINDINGS, Finding, NetworkEvidence, each_block, examine, judge, lesion_accuracies
from resnet_core.runs import Checkpoint, is_drawn

ICONS = {"fault": ":red[:material/error:]", "notice": ":orange[:material/info:]", "good": ":green[:material/check_circle:]"}
SHARES = ("accuracy", "chance", "one_answer", "drop", "dead_share", "initial_dead_share", "inner_dead_share", "initial_inner_dead_share")
COLUMNS = {
    "ratio": "%.2f", "initial_ratio": "%.2f", "variation": PERCENT, "dead_share": PERCENT, "inner_dead_share": PERCENT,
    "gamma": "%.3f", "shortcut_share": "%.2f", "drop": PERCENT,
}  # fmt: skip


def verdict_view(checkpoint: Checkpoint, image: ShownImage) -> None:
    blocks, count = len(block_names(checkpoint)), lesion_count(checkpoint, image.dataset)
    found = background_job(
        "verdicts", file_state(checkpoint), image.dataset,
        prepare=lambda: _examination(checkpoint, image.dataset),
        label=t("verdict.start", blocks=blocks),
        seconds=seconds_per_image(checkpoint) * count * (blocks + 6) / 2,
        key="verdict_start",
    )  # fmt: skip
    if found is None:
        st.caption(t("verdict.what", count=count, before=before_label(checkpoint)))
        return
    findings = judge(found)
    st.markdown(_summary(checkpoint, findings))
    show_removed(checkpoint)
    for number, finding in enumerate(findings):
        _show(checkpoint, image.dataset, finding, number)
    _evidence_table(checkpoint, found)


def _examination(checkpoint: Checkpoint, dataset: str) -> Work:
    model, initial = own_model(checkpoint), own_model(checkpoint, initial=True)
    images = some_test_images(checkpoint, dataset, LESION_IMAGES)
    trained, drawn = not is_drawn(checkpoint, initial=False), is_drawn(checkpoint, initial=True)

    def work(progress: Progress) -> NetworkEvidence:
        lesions = lesion_accuracies(model, images, checkpoint.spec, each_block(model), probabilities=True, progress=progress)
        return examine(model, initial, images, checkpoint.spec, trained=trained, drawn=drawn, lesions=lesions)

    return work


def _summary(checkpoint: Checkpoint, findings: Sequence[Finding]) -> str:
    faults = sum(FINDINGS[finding.code] == "fault" for finding in findings)
    network = network_label(checkpoint.model_name)
    return t("verdict.faults", network=network, count=faults) if faults else t("verdict.no_faults", network=network)


def _show(checkpoint: Checkpoint, dataset: str, finding: Finding, number: int) -> None:
    """One finding: what it is, what it rests on, what to do."""
    place = block_label(finding.block) if finding.block else t("verdict.whole")
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            heading = t("verdict.heading", place=place, title=t(f"verdict.{finding.code}_title"))
            st.markdown(f"{ICONS[FINDINGS[finding.code]]} **{heading}**")
            if finding.block and st.button(t("verdict.open"), key=f"verdict_open_{number}", icon=":material/open_in_full:"):
                select(block=finding.block)
                st.rerun()
            if finding.block:
                removal_button(checkpoint, dataset, (finding.block,), key=f"verdict_remove_{number}")
        st.markdown(t(f"verdict.{finding.code}_because", **in_words(finding), before=before_label(checkpoint)))
        st.caption(t("verdict.next", step=t(f"verdict.{finding.code}_next")))


def in_words(finding: Finding) -> dict[str, str]:
    """The numbers of the evidence as people read them; shares as percent, a drop in points."""
    said = {}
    for name, value in finding.evidence.items():
        if name == "drop" or (name == "threshold" and finding.code == "plain"):
            said[name] = f"{100 * value:.1f}"
        elif name in SHARES or (name == "threshold" and finding.code in ("collapsed", "dead", "constant")):
            said[name] = f"{value:.1%}".replace(".0%", "%")
        else:
            said[name] = f"{value:.3g}"
    return said


def _evidence_table(checkpoint: Checkpoint, network: NetworkEvidence) -> None:
    with st.expander(t("verdict.table"), icon=":material/table:"):
        rows = pd.DataFrame([asdict(block) for block in network.blocks])
        rows["name"] = [block_label(block.name) for block in network.blocks]
        for name in (name for name, form in COLUMNS.items() if form == PERCENT):
            rows[name] = 100 * rows[name].astype(float)  # None, where nothing was measured, becomes NaN and is drawn as nothing
        st.dataframe(
            rows[["name", *COLUMNS]],
            hide_index=True,
            key="verdict_table",
            column_config={
                "name": st.column_config.TextColumn(t("pick.block")),
                **{
                    name: st.column_config.NumberColumn(
                        t(f"verdict.column_{name}", before=before_label(checkpoint)), format=form, help=t(f"verdict.column_{name}_help")
                    )
                    for name, form in COLUMNS.items()
                },
            },
        )
        st.caption(t("verdict.table_read", count=network.images))
