"""What each path of a block hands back to x: bars for every block, shares and cosines, and one block's way back as a picture."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboard.charts.gradient_norms import Flow, SplitLabels, flow_figure, split_figure
from dashboard.charts.strip import StripRow, block_strip
from dashboard.charts.theme import PLOTLY_CONFIG, network_style
from dashboard.components.block_picker import select_clicked_block
from dashboard.components.csv_button import csv_button
from dashboard.components.gradients.data import Batch, Measurement, before_training, gradients_of
from dashboard.components.gradients.norms import strip_blocks
from dashboard.components.names import before_label, block_label, network_label
from dashboard.i18n import t
from resnet_core.inspection import BlockGradient, GradientReport

BARS, STRIP = "gradient_split_chart", "gradient_shares_chart"
IMAGE_ONLY = {**PLOTLY_CONFIG, "modeBarButtons": [["toImage"]]}


def gradient_split(measured: Sequence[Measurement], batch: Batch, block: str) -> None:
    """The split in the residual network of the two; a plain network alone has one path only."""
    chosen = measured[0]
    residual = next((one for one in measured if one.has_split), None)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(t("gradients.split_title"), anchor=False, width="content")
        if residual is not None:
            _download(residual)
    if not chosen.has_split:
        said = t("gradients.split_plain", network=network_label(chosen.member.model_name))
        twin = "" if residual is None else t("gradients.split_twin", network=residual.member.label)
        st.info(f"{said} {twin}", icon=":material/info:")
    if residual is None:
        return
    checkpoint = residual.member.checkpoint
    initial = None if checkpoint.is_first else gradients_of(before_training(checkpoint), batch)
    left, right = st.columns(2, gap="medium")
    with left:
        _bars(residual, block)
        _flow(residual.report, block)
    with right:
        _shares(residual, initial, block)
    _words(residual.report)


def _bars(one: Measurement, block: str) -> None:
    member, report = one.member, one.report
    figure = split_figure(
        strip_blocks(report),
        [b.through_residual_norm for b in report.blocks],
        [b.through_shortcut_norm for b in report.blocks],
        labels=SplitLabels(
            residual=t("gradients.through_residual"),
            shortcut=t("gradients.through_shortcut"),
            y_title=t("gradients.norm"),
            x_title=t("blocks.block_axis"),
        ),
        selected=block,
    )
    alt = t("gradients.split_alt", network=member.label)
    st.plotly_chart(figure, config=IMAGE_ONLY, key=BARS, on_select=lambda: select_clicked_block(BARS), selection_mode="points", alt=alt)


def _flow(report: GradientReport, block: str) -> None:
    """The chosen block's numbers on the way from the add back to x."""
    found = next((b for b in report.blocks if b.name == block), None)
    if found is None or found.add_grad_norm is None or found.through_residual_norm is None or found.through_shortcut_norm is None:
        return
    identity = found.refinement is not None
    flow = Flow(
        at_add=found.add_grad_norm,
        residual=found.through_residual_norm,
        shortcut=found.through_shortcut_norm,
        total=found.input_grad_norm,
        shortcut_name=t("gradients.identity") if identity else t("gradients.changing"),
    )
    st.markdown(f"**{t('gradients.flow_title', block=block_label(block))}**")
    st.plotly_chart(
        flow_figure(flow, height=170), config=IMAGE_ONLY, key="gradient_flow", alt=t("gradients.flow_alt", block=block_label(block))
    )
    st.caption(t("gradients.flow_read"))


def _shares(one: Measurement, initial: GradientReport | None, block: str) -> None:
    member, report = one.member, one.report

    def values(field: str, source: GradientReport | None) -> list[float | None] | None:
        return None if source is None else [getattr(b, field) for b in source.blocks]

    rows = [
        StripRow(title=t(f"gradients.{field}"), values=values(field, report) or [], reference=values(field, initial), range=bounds)
        for field, bounds in (("share", (0.0, 1.0)), ("cosine", None), ("refinement", None))
    ]
    figure = block_strip(
        strip_blocks(report),
        rows,
        style=network_style(member.model_name),
        value_label=member.label,
        reference_label=before_label(member.checkpoint),
        guide_label="",
        x_title=t("blocks.block_axis"),
        selected=block,
        row_height=128,
    )
    with st.container(key="gradient_shares"):
        alt = t("gradients.shares_alt", network=member.label)
        st.plotly_chart(
            figure, config=IMAGE_ONLY, key=STRIP, on_select=lambda: select_clicked_block(STRIP), selection_mode="points", alt=alt
        )


def _words(report: GradientReport) -> None:
    error = max(b.sum_error for b in report.blocks if b.sum_error is not None)
    check = t("gradients.sum_check", error=f"{error:.1e}") if error else t("gradients.sum_exact")
    st.caption(f"{t('gradients.shares_read')} {check}")


def _download(one: Measurement) -> None:
    csv_button(
        lambda: _csv(one.report.blocks),
        f"{one.member.checkpoint.name}-{one.member.model_name}-split.csv",
        help=t("gradients.download_split"),
        key="gradient_split_csv",
    )


def _csv(blocks: Sequence[BlockGradient]) -> bytes:
    return pd.DataFrame([asdict(block) for block in blocks]).to_csv(index=False).encode()
