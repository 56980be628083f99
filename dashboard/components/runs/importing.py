"""A run from another machine: its zip, checked and added to the store."""

import streamlit as st

from dashboard.i18n import error_text, t
from dashboard.loading import store
from resnet_core.errors import UserError
from resnet_core.runs import import_run

TAKEN = "runs_import_taken"  # the upload that is in the store already: a rerun brings the same file again


def offer_import() -> None:
    """An uploader behind a button; the sentence of what is wrong with a file that is refused."""
    with st.popover(t("runs.import"), icon=":material/upload_file:"):
        file = st.file_uploader(t("runs.import_file"), type="zip", key="runs_import", help=t("runs.import_help"))
        if file is None or st.session_state.get(TAKEN) == file.file_id:
            return
        try:
            run = import_run(store(), file)
        except UserError as error:
            st.error(error_text(error), icon=":material/error:")
            return
        st.session_state[TAKEN] = file.file_id
    st.toast(t("runs.imported", run=run.run), icon=":material/check:")
    st.rerun()
