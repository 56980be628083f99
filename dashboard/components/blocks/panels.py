"""Below the picture of one block: experiments on the whole network, one open at a time, since a closed one costs nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.components.blocks.decision import decision_view
from dashboard.components.blocks.history import history_view
from dashboard.components.blocks.lesions import lesion_view
from dashboard.components.blocks.verdicts import verdict_view
from dashboard.i18n import t
from dashboard.state import ShownImage
from resnet_core.runs import Checkpoint


@dataclass(frozen=True, kw_only=True)
class _Panel:
    title: str
    lead: str
    icon: str
    show: Callable[[Checkpoint, ShownImage], None]


PANELS = {
    "lesion": _Panel(title="lesion.title", lead="lesion.lead", icon=":material/power_settings_new:", show=lesion_view),
    "decision": _Panel(title="decision.title", lead="decision.lead", icon=":material/psychology:", show=decision_view),
    "verdict": _Panel(title="verdict.title", lead="verdict.lead", icon=":material/stethoscope:", show=verdict_view),
    "history": _Panel(title="history.title", lead="history.lead", icon=":material/timeline:", show=history_view),
}


def block_panels(checkpoint: Checkpoint, image: ShownImage) -> None:
    """The chosen experiment. A link can open it: `?panel=lesion`."""
    if "panel" not in st.session_state and st.query_params.get("panel") in PANELS:
        st.session_state["panel"] = st.query_params["panel"]
    chosen = st.segmented_control(
        t("lesion.panels"),
        list(PANELS),
        format_func=lambda name: f"{PANELS[name].icon} {t(PANELS[name].title)}",
        key="panel",
        persist_state="session",
    )
    if chosen is None:
        st.query_params.pop("panel", None)
        st.caption(t("lesion.panels_read"))
        return
    if st.query_params.get("panel") != chosen:
        st.query_params["panel"] = chosen
    st.caption(t(PANELS[chosen].lead))

    @st.fragment
    def panel() -> None:
        with guarded():
            PANELS[chosen].show(checkpoint, image)

    panel()
