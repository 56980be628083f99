"""How large the gradient is on its way back: every block and layer of a network and of its twin, on one logarithmic scale."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.charts.gradient_norms import NormLine, NormRow, layer_places, norm_figure
from dashboard.charts.strip import StripBlock
from dashboard.charts.theme import PLOTLY_CONFIG, network_style
from dashboard.components.block_picker import select_clicked_block
from dashboard.components.csv_button import csv_button
from dashboard.components.gradients.data import Batch, Measurement, Member, before_training, measure, twin_of
from dashboard.components.gradients.words import show_verdict
from dashboard.components.image_picker import SPLITS
from dashboard.components.names import block_label
from dashboard.i18n import t
from resnet_core.inspection import GradientReport, LayerGradient
from resnet_core.runs import Checkpoint

CHART = "gradient_norms_chart"
WEIGHTS = {"absolute": "gradients.weights_absolute", "relative": "gradients.weights_relative", "update": "gradients.weights_update"}
WEIGHT_ROWS = {"absolute": "gradients.weight_row", "relative": "gradients.weight_row_relative", "update": "gradients.weight_row_update"}


def gradient_view(checkpoint: Checkpoint, batch: Batch, block: str | None) -> list[Measurement]:
    """The curves of both networks, a verdict on each; returns what was measured, the chosen network's first."""
    twin = twin_of(checkpoint)
    members = [Member(checkpoint=checkpoint), *([twin] if twin else [])]
    with st.spinner(t("gradients.measuring", count=batch.count)):
        measured = [measure(member, batch) for member in members]
        initial = None if checkpoint.is_first else measure(before_training(checkpoint), batch)
    chosen = measured[0].report
    picture, words = st.columns([2.6, 1], gap="medium")
    with picture:
        weights = _controls(checkpoint, measured)
        blocks = strip_blocks(chosen)
        figure = norm_figure(blocks, _rows(measured, initial, weights), x_title=_x_title(blocks), selected=block, row_height=143)
        with st.container(key="gradient_norms"):
            st.plotly_chart(
                figure,
                config={**PLOTLY_CONFIG, "modeBarButtons": [["toImage"]]},
                key=CHART,
                on_select=lambda: select_clicked_block(CHART),
                selection_mode="points",
                alt=t("gradients.norms_alt", network=members[0].label),
            )
    with words:
        for one in measured:
            show_verdict(one)
        if twin is None:
            st.caption(t("gradients.no_twin"))
    read = t("gradients.norms_read", count=chosen.images, split=t(SPLITS[batch.split]), mode=t(f"gradients.mode_{chosen.mode}"))
    said = [read if blocks else t("gradients.layers_read")]
    if weights == "update":
        train = checkpoint.config.train
        said.append(t("gradients.update_read", optimizer=train.optimizer.upper(), rate=f"{train.learning_rate:g}"))
    st.caption(" ".join(said))
    return measured


def strip_blocks(report: GradientReport) -> list[StripBlock]:
    return [
        StripBlock(name=b.name, stage=b.stage, label=block_label(b.name), stage_label=t("blocks.stage", stage=b.stage))
        for b in report.blocks
    ]


def _controls(checkpoint: Checkpoint, measured: Sequence[Measurement]) -> str:
    """What is shown of the layers' weights: their gradient, that relative to them, or what one step would change."""
    options = [option for option in WEIGHTS if option != "update" or not checkpoint.is_imported]
    if st.session_state.get("gradient_weights") not in (None, *options):  # chosen on another network
        del st.session_state["gradient_weights"]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        shown = st.segmented_control(
            t("gradients.weights"),
            options,
            format_func=lambda option: t(WEIGHTS[option]),
            default="absolute",
            required=True,
            key="gradient_weights",
            help=t("gradients.weights_help"),
        )
        csv_button(lambda: _csv(measured), f"{checkpoint.name}-gradients.csv", help=t("gradients.download"), key="gradient_norms_csv")
    return str(shown)


def _x_title(blocks: Sequence[StripBlock]) -> str:
    return t("blocks.block_axis") if blocks else t("gradients.layer_axis")


def _rows(measured: Sequence[Measurement], initial: Measurement | None, weights: str) -> list[NormRow]:
    """At block inputs and at weights; the chosen network before training, where it is not chosen itself, behind both."""
    behind = [] if initial is None else [initial]
    title = t(WEIGHT_ROWS[weights])
    lines = [*(_layer_line(one, weights, reference=True) for one in behind), *(_layer_line(one, weights) for one in measured)]
    rows = [NormRow(title=title, lines=lines)]
    if not any(one.report.blocks for one in measured):
        return rows
    lines = [*(_block_line(one, reference=True) for one in behind), *(_block_line(one) for one in measured)]
    return [NormRow(title=t("gradients.input_row"), lines=lines), *rows]


def _block_line(one: Measurement, *, reference: bool = False) -> NormLine:
    blocks = one.report.blocks
    return NormLine(
        name=one.member.label,
        style=network_style(one.member.model_name),
        x=list(range(len(blocks))),
        y=[block.input_grad_norm for block in blocks],
        texts=[block_label(block.name) for block in blocks],
        reference=reference,
    )


def _layer_line(one: Measurement, weights: str, *, reference: bool = False) -> NormLine:
    names = [layer.name for layer in one.report.layers]
    return NormLine(
        name=one.member.label,
        style=network_style(one.member.model_name),
        x=layer_places(names, [block.name for block in one.report.blocks]),
        y=[weight_size(layer, weights) for layer in one.report.layers],
        texts=names,
        reference=reference,
    )


def weight_size(layer: LayerGradient, weights: str) -> float:
    if weights == "absolute":
        return layer.weight_grad_norm
    if weights == "update":
        return layer.update_ratio or 0.0
    return layer.weight_grad_norm / layer.weight_norm if layer.weight_norm else 0.0


def _csv(measured: Sequence[Measurement]) -> bytes:
    """One line per network and place: a block's input or a layer's weights."""
    rows = []
    for member, report in ((one.member, one.report) for one in measured):
        same = {"network": member.model_name, "checkpoint": member.checkpoint.name, "weights": member.origin, "mode": report.mode}
        rows += [{**same, "kind": "block input", "name": b.name, "gradient_norm": b.input_grad_norm} for b in report.blocks]
        rows += [
            {
                **same,
                "kind": "weights",
                "name": layer.name,
                "gradient_norm": layer.weight_grad_norm,
                "weight_norm": layer.weight_norm,
                "update_ratio": layer.update_ratio,
            }
            for layer in report.layers
        ]
    return pd.DataFrame(rows).to_csv(index=False).encode()
