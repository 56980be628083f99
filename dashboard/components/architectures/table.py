"""The tables of the notes, computed: output sizes, building blocks, FLOPs; and the resolutions as a picture."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard.charts.diagram import shape_text
from dashboard.charts.shrinking import resolutions, shrinking
from dashboard.components.architectures.described import Subject, described
from dashboard.components.architectures.drawing import show_drawing
from dashboard.components.names import network_label
from dashboard.i18n import t
from resnet_core.config import ModelConfig
from resnet_core.models import ModelDescription
from resnet_core.models.diagram import Part

FAMILY = tuple(f"resnet{depth}" for depth in (18, 34, 50, 101, 152))


def table_view(subject: Subject, drawn: ModelDescription) -> None:
    show_resolutions(drawn, key="table_sizes")
    whole = st.toggle(
        t("architectures.table_family"), key="architecture_family", help=t("architectures.table_family_help"), persist_state="session"
    )
    if whole:
        _family_table(subject)
    else:
        _own_table(drawn)


def show_resolutions(drawn: ModelDescription, *, key: str, largest: int | None = None, compact: bool = False) -> None:
    found = resolutions(drawn.layers, drawn.input_shape)
    picture = shrinking(
        found,
        largest=largest or found[0].side,
        words_image=t("architectures.image", channels=drawn.input_shape[0]),
        words_channels=t("architectures.channels", count="{count}"),
        compact=compact,
    )
    sides = " → ".join(str(one.side) for one in found)
    show_drawing(picture, key=key, alt=t("architectures.sizes_alt", sides=sides), file=f"{drawn.model}-sizes", room=240)
    st.caption(t("architectures.sizes_read", sides=sides))


def _own_table(drawn: ModelDescription) -> None:
    rows = [
        {
            t("architectures.layer_name"): part_name(part),
            t("architectures.output_size"): shape_text(part.output_shape),
            t("architectures.building_block"): part.notation,
            t("architectures.parameters"): f"{part.parameters:,}",
            t("architectures.macs"): f"{part.macs:,}",
            t("architectures.flops"): f"{2 * part.macs:,}",
        }
        for part in drawn.parts
    ]
    rows.append(
        dict(
            zip(
                rows[0],
                (t("architectures.total"), "", "", f"{drawn.parameters:,}", f"{drawn.macs:,}", f"{drawn.flops:,}"),
                strict=True,
            )
        )
    )
    st.table(pd.DataFrame(rows).set_index(t("architectures.layer_name")))
    st.caption(t("architectures.table_read"))
    if drawn.unused_parameters:
        st.caption(t("architectures.unused", count=f"{drawn.unused_parameters:,}"))


def _family_table(subject: Subject) -> None:
    """The five networks of table 1 beside each other, on the images that the page shows."""
    networks = [described(replace(subject, config=ModelConfig(model=name, stem=subject.config.stem))) for name in FAMILY]
    rows: list[dict[str, str]] = []
    for parts in zip(*(network.parts for network in networks), strict=True):
        row = {t("architectures.layer_name"): part_name(parts[0]), t("architectures.output_size"): _side(parts)}
        rows.append(row | {network_label(name): part.notation for name, part in zip(FAMILY, parts, strict=True)})
    for title, values in (
        (t("architectures.flops_paper"), [f"{network.macs / 1e9:.1f}×10⁹" for network in networks]),
        (t("architectures.parameters"), [f"{network.parameters / 1e6:.1f} M" for network in networks]),
    ):
        row = {t("architectures.layer_name"): title, t("architectures.output_size"): ""}
        rows.append(row | {network_label(name): value for name, value in zip(FAMILY, values, strict=True)})
    st.table(pd.DataFrame(rows).set_index(t("architectures.layer_name")))
    st.caption(t("architectures.table_family_read"))


def _side(parts: Sequence[Part]) -> str:
    shape = parts[0].output_shape
    return f"{shape[1]}×{shape[2]}" if len(shape) == 3 else shape_text(shape)


def part_name(part: Part) -> str:
    if part.role == "stage":
        return t("architectures.stage", number=part.number)
    return {"stem": t("architectures.stem"), "head": t("architectures.head")}.get(part.role, part.name)
