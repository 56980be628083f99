"""Below the attributions: further comparisons, one open at a time, since a closed one costs nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.components.compare.attributions import Shown
from dashboard.components.compare.calibration import calibration_view
from dashboard.components.compare.curves import curves_view
from dashboard.components.compare.data import Answered
from dashboard.components.compare.many import many_view
from dashboard.components.compare.pair import Pair
from dashboard.components.compare.representation import representation_view
from dashboard.components.compare.worth import worth_view
from dashboard.i18n import t


@dataclass(frozen=True, kw_only=True)
class _Panel:
    icon: str
    show: Callable[[Pair, Answered, Shown], None]


PANELS = {
    "worth": _Panel(icon=":material/verified:", show=worth_view),
    "many": _Panel(icon=":material/apps:", show=many_view),
    "curves": _Panel(icon=":material/show_chart:", show=curves_view),
    "calibration": _Panel(icon=":material/balance:", show=calibration_view),
    "representation": _Panel(icon=":material/grid_on:", show=representation_view),
}


def compare_panels(pair: Pair, answered: Answered, shown: Shown) -> None:
    """The chosen comparison. A link can open it: `?panel=representation`."""
    if "compare_panel" not in st.session_state and st.query_params.get("panel") in PANELS:
        st.session_state["compare_panel"] = st.query_params["panel"]
    chosen = st.segmented_control(
        t("compare.panels"),
        list(PANELS),
        format_func=lambda name: f"{PANELS[name].icon} {t(f'compare.panel_{name}')}",
        key="compare_panel",
        persist_state="session",
    )
    if chosen is None:
        st.query_params.pop("panel", None)
        return
    if st.query_params.get("panel") != chosen:
        st.query_params["panel"] = chosen
    st.caption(t(f"compare.lead_{chosen}"))

    @st.fragment
    def panel() -> None:
        with guarded():
            PANELS[chosen].show(pair, answered, shown)

    panel()
