"""Which block: by name in a select box, or by a click on its column in the strip."""

import streamlit as st

from dashboard.components.names import block_label, network_label
from dashboard.i18n import error_text, t
from dashboard.loading import block_names
from dashboard.state import select, selection
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint


def block_picker(checkpoint: Checkpoint, *, key: str = "block_picker") -> str:
    """The path of the chosen block (`stages.1.0`); raises no_blocks for a network that has none."""
    names = block_names(checkpoint)
    label = network_label(checkpoint.model_name)
    if not names:
        raise UserError("no_blocks", name=label)
    asked = selection().block
    chosen = asked if asked in names else names[len(names) // 2]
    st.session_state[key] = chosen
    st.selectbox(t("pick.block"), names, format_func=block_label, key=key, on_change=lambda: select(block=st.session_state[key]))
    if asked is not None and asked != chosen:
        known = f"{names[0]} ... {names[-1]}" if len(names) > 12 else ", ".join(names)
        st.warning(error_text(UserError("unknown_block", name=label, value=asked, choices=known)), icon=":material/warning:")
    return chosen


def select_clicked_block(chart_key: str) -> None:
    """For `on_select` of a chart whose points carry a block's name as customdata."""
    points = st.session_state[chart_key].selection.points
    if points:
        name = points[0]["customdata"]
        select(block=name if isinstance(name, str) else name[0])
