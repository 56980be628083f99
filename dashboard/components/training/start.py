"""Start: rows in the queue, a process where the device is free, and the view turned to the new experiment."""

import streamlit as st

from dashboard.components.training.form import Wish
from dashboard.components.training.view import WATCHED
from dashboard.i18n import error_text, t
from dashboard.loading import store
from resnet_core.data import data_root, open_source
from resnet_core.errors import UserError
from resnet_core.runs import start
from resnet_core.runs.standby import stand_by


def start_button(wish: Wish) -> None:
    """Grey while the form holds nothing that could be started."""
    count = len(wish.configs)
    names = " + ".join(config.model.model for config in wish.configs)
    label = t("train.start") if not count else t("train.start_named", names=names) if count < 3 else t("train.start_several", count=count)
    clicked = st.button(label, type="primary", icon=":material/play_arrow:", key="train_start", disabled=not count, width="stretch")
    if not clicked:
        return
    try:
        open_source(wish.configs[0].data, data_root())
        runs = start(store(), list(wish.configs))
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return
    st.session_state[WATCHED] = runs[0].pair or runs[0].run
    st.toast(t("train.started"), icon=":material/play_arrow:")


def prepare(wish: Wish) -> None:
    """Whoever has chosen something will press Start: a process imports PyTorch meanwhile, unless another one trains and is waited for."""
    if wish.configs and not any(run.is_active for run in store().runs()):
        stand_by()
