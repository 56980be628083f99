"""All networks of the table by depth: how large, how costly, and where their parameters lie."""

import pandas as pd
import streamlit as st

from dashboard.charts.network_sizes import SizeRow, SizeWords, depth_chart, linear_chart
from dashboard.components.architectures.described import Subject
from dashboard.components.csv_button import csv_button
from dashboard.components.names import family_label, network_label
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from resnet_core.models import ModelDescription, get_entry
from resnet_core.models.sizes import network_sizes

MILLION = 1e6


def families_view(subject: Subject, drawn: ModelDescription) -> None:
    rows = _rows(subject.config.model)
    words = SizeWords(
        depth=t("architectures.depth_axis"),
        parameters=t("architectures.parameters_axis"),
        macs=t("architectures.macs_axis"),
        linear=t("architectures.linear_axis"),
        family=t("architectures.family"),
    )
    left, right = st.columns(2, gap="medium")
    with left:
        show_vega(depth_chart(rows, "parameters", words), key="families_parameters", alt=t("architectures.families_parameters_alt"))
        show_vega(depth_chart(rows, "macs", words, legend=False), key="families_macs", alt=t("architectures.families_macs_alt"))
    with right:
        show_vega(linear_chart(rows, words), key="families_linear", alt=t("architectures.families_linear_alt"))
    with st.container(horizontal=True, wrap=False, gap="small"):
        csv_button(
            lambda: pd.DataFrame([vars(row) for row in rows]).to_csv(index=False).encode(),
            "networks.csv",
            help=t("architectures.download_families"),
            key="families_csv",
        )
        vgg = next(row for row in rows if row.name == network_label("vgg16"))
        st.caption(t("architectures.families_read", share=f"{100 * vgg.linear_share:.0f}%"))


def _rows(chosen: str) -> list[SizeRow]:
    """ResNets for small images and for ImageNet are two families: their images differ."""
    return [
        SizeRow(
            name=network_label(size.model),
            family=_family(size.family, size.side),
            depth=size.depth,
            parameters=size.parameters / MILLION,
            macs=size.macs / MILLION,
            linear_share=size.linear_parameters / size.parameters,
            chosen=size.model == chosen,
        )
        for size in network_sizes()
        if get_entry(size.model).family != "plain"
    ]


def _family(family: str, side: int) -> str:
    name = family_label(family)
    return f"{name} ({side} px)" if family in ("resnet", "lenet", "inception") else name
