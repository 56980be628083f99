"""Below the drawing: tables, the surgery, what blocks cost, the wider family; one open at a time, since a closed one costs nothing."""

from collections.abc import Callable

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.components.architectures.blocks import blocks_view
from dashboard.components.architectures.described import Subject
from dashboard.components.architectures.families import families_view
from dashboard.components.architectures.surgery import surgery_view
from dashboard.components.architectures.table import table_view
from dashboard.i18n import t
from resnet_core.models import ModelDescription

PANELS: dict[str, tuple[str, Callable[[Subject, ModelDescription], None]]] = {
    "table": (":material/table_rows:", table_view),
    "surgery": (":material/content_cut:", surgery_view),
    "blocks": (":material/widgets:", blocks_view),
    "families": (":material/scatter_plot:", families_view),
}


def architecture_panels(subject: Subject, drawn: ModelDescription) -> None:
    """The chosen panel. A link can open it: `?panel=surgery`."""
    if "architecture_panel" not in st.session_state and st.query_params.get("panel") in PANELS:
        st.session_state["architecture_panel"] = st.query_params["panel"]
    chosen = st.segmented_control(
        t("architectures.panels"),
        list(PANELS),
        format_func=lambda name: f"{PANELS[name][0]} {t(f'architectures.panel_{name}')}",
        key="architecture_panel",
        persist_state="session",
    )
    if chosen is None:
        st.query_params.pop("panel", None)
        return
    if st.query_params.get("panel") != chosen:
        st.query_params["panel"] = chosen

    @st.fragment
    def panel() -> None:
        with guarded():
            PANELS[chosen][1](subject, drawn)

    panel()
