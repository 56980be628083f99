"""All blocks of a network in rows, one of them opened to its layers; a second network beside it with the differences marked."""

import re

import pandas as pd
import streamlit as st

from dashboard.charts.block_diagram import opened
from dashboard.charts.diagram import DiagramWords, differing, overview, shape_text
from dashboard.components.architectures.described import Subject, described, start
from dashboard.components.architectures.drawing import show_drawing
from dashboard.components.architectures.links import activations_link
from dashboard.components.csv_button import csv_button
from dashboard.components.names import network_label
from dashboard.i18n import error_text, t
from dashboard.state import select, selection
from resnet_core.errors import UserError
from resnet_core.models import ModelDescription
from resnet_core.models.diagram import Block

FOLD_FROM = 14  # blocks: fewer are shown one by one
ROOM, BLOCK_ROOM = 590, 640  # px
BLOCK = re.compile(r"stages\.\d+\.\d+")


def diagram_view(subject: Subject, beside: Subject | None) -> ModelDescription | None:
    """The drawing with its open block; returns what was drawn for the panels below."""
    if beside is not None:
        start(beside)
    first, second = _read(subject), None if beside is None else _read(beside)
    if first is None:
        return None
    if second is None or beside is None:
        drawn, layers = st.columns([1.28, 1], gap="small")
        block = _chosen(first, "architecture_block")
        with drawn:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                _facts(first)
                fold = _fold_switch(first)
            _overview(subject, first, block, key="diagram_first", fold=fold, width=680)
        with layers:
            _open_block(first, block, key="diagram_block")
        st.caption(t("architectures.read"))
        return first
    fold = _fold_switch(first, second)
    both = ((subject, first, second), (beside, second, first))
    for place, (column, (one, own, other)) in enumerate(zip(st.columns(2, gap="medium"), both, strict=True)):
        name = "architecture_block" if place == 0 else "architecture_block_beside"
        with column:
            _facts(own)
            block = _chosen(own, name)
            marked = differing(own.parts, other.parts)
            _overview(one, own, block, key=f"diagram_{place}", fold=fold, width=600, differs=marked, name=name)
            _open_block(own, block, key=f"diagram_block_{place}")
    st.caption(f"{_compared(first, second)} {t('architectures.read_two')}")
    return first


def _compared(first: ModelDescription, second: ModelDescription) -> str:
    return t(
        "architectures.compared",
        first=network_label(first.model),
        second=network_label(second.model),
        parameters=f"{second.parameters / first.parameters:.2f}",
        macs=f"{second.macs / first.macs:.2f}",
        count=len(differing(first.parts, second.parts)),
        others=len(differing(second.parts, first.parts)),
    )


def _read(subject: Subject) -> ModelDescription | None:
    try:
        if subject.is_ours:
            return described(subject)
        with st.spinner(t("architectures.reading", network=network_label(subject.config.model))):
            return described(subject)
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return None


def _facts(found: ModelDescription) -> None:
    st.markdown(
        t(
            "architectures.facts",
            network=network_label(found.model),
            shape=shape_text(found.input_shape),
            classes=found.classes,
            parameters=f"{found.parameters:,}",
            macs=f"{found.macs / 1e6:,.0f}" if found.macs >= 1e8 else f"{found.macs / 1e6:,.1f}",
        ),
        width="content",
    )


def _fold_switch(*networks: ModelDescription) -> bool:
    """Whether blocks that are alike share a box; a small network that has the page for itself needs no switch."""
    if len(networks) == 1 and sum(len(part.blocks) for part in networks[0].parts) < FOLD_FROM:
        return False
    return st.toggle(
        t("architectures.fold"), value=True, key="architecture_fold", help=t("architectures.fold_help"), persist_state="session"
    )


def _overview(
    subject: Subject,
    found: ModelDescription,
    block: Block,
    *,
    key: str,
    fold: bool,
    width: int,
    differs: frozenset[str] = frozenset(),
    name: str = "architecture_block",
) -> None:
    plain = subject.config.model.startswith("plain")
    drawing = overview(found.parts, found.input_shape, words(), chosen=block.name, fold=fold, plain=plain, width=width, differs=differs)
    network = network_label(found.model)
    show_drawing(
        drawing,
        key=key,
        alt=t("architectures.alt", network=network),
        file=f"{found.model}-{shape_text(found.input_shape)}",
        room=ROOM,
        on_pick=lambda value: _choose(name, value),
    )


def _choose(name: str, block: str) -> None:
    st.session_state[name] = block
    if BLOCK.fullmatch(block):
        select(block=block)


def _chosen(found: ModelDescription, name: str) -> Block:
    """The one clicked on, or the selection's, or the first whose shortcut changes the shape."""
    blocks = {block.name: block for part in found.parts for block in part.blocks}
    for asked in (st.session_state.get(name), selection().block):
        if asked in blocks:
            return blocks[asked]
    added = [block for block in blocks.values() if block.shortcut]
    changing = [block for block in added if block.input_shape != block.output_shape]
    staged = [block for part in found.parts if part.role == "stage" for block in part.blocks]
    return next(iter(changing or added or staged or blocks.values()))


def _open_block(found: ModelDescription, block: Block, *, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{block_title(found, block)}** · {_kind(block)}", width="stretch")
        csv_button(lambda: _csv(found), f"{found.model}-layers.csv", help=t("architectures.download_layers"), key=f"{key}_csv")
    drawing = opened(block, found.layers, words())
    show_drawing(drawing, key=key, alt=t("architectures.alt_block", block=block.name), file=f"{found.model}-{block.name}", room=BLOCK_ROOM)
    st.caption(t(f"architectures.shortcut_{block.shortcut or 'none'}") if _is_stage(found, block) else t("architectures.layers_read"))
    activations_link(found.model, block.name, key=f"{key}_link")


def _is_stage(found: ModelDescription, block: Block) -> bool:
    return any(part.role == "stage" and block in part.blocks for part in found.parts)


def _kind(block: Block) -> str:
    return block.kind or t("architectures.layers")


def block_title(found: ModelDescription, block: Block) -> str:
    """Stage 2, block 1; what is no block of a stage is called by its path."""
    for part in found.parts:
        if part.role == "stage" and block in part.blocks and block.kind:
            return t("pick.block_name", stage=part.number, block=block.number)
    last = block.steps[-1].rpartition(".")[2]
    return f"{block.name}–{last}" if block.name == block.steps[0] != block.steps[-1] and last.isdigit() else block.name


def words() -> DiagramWords:
    """Placeholders stay: the drawing fills them in."""
    return DiagramWords(
        stem=t("architectures.stem"),
        head=t("architectures.head"),
        stage=t("architectures.stage", number="{number}"),
        block=t("architectures.block", number="{number}"),
        blocks=t("architectures.blocks_range", first="{first}", last="{last}"),
        alike=t("architectures.alike", count="{count}"),
        parameters=t("architectures.box_parameters", value="{value}"),
        macs=t("architectures.box_macs", value="{value}"),
        sees=t("architectures.box_sees", value="{value}"),
        sees_all=t("architectures.box_sees_all"),
        open=t("architectures.box_open", name="{name}"),
        column_parameters=t("architectures.parameters"),
        column_macs=t("architectures.macs"),
        column_sees=t("architectures.sees"),
        entry=t("architectures.entry"),
        add="x + F(x)",
        add_shaped="s(x) + F(x)",
        differs=t("architectures.differs"),
    )


def _csv(found: ModelDescription) -> bytes:
    """One line per layer, in the order of the forward pass."""
    rows = [
        {
            "layer": step.name,
            "kind": step.kind,
            "inputs": " ".join(step.inputs),
            "output": shape_text(step.output_shape),
            "parameters": step.parameters,
            "macs": step.macs,
            "receptive_field": step.receptive_field,
        }
        for step in found.layers
    ]
    return pd.DataFrame(rows).to_csv(index=False).encode()
