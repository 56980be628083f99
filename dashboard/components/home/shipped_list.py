"""The networks that came with Residual Lens, with their cards."""

import streamlit as st

from dashboard.components.formats import percent
from dashboard.i18n import error_text, t
from dashboard.loading import open_checkpoint
from resnet_core.errors import UserError
from resnet_core.runs import model_card, shipped_names


def show_shipped() -> None:
    names = shipped_names()
    st.subheader(t("runs.shipped"), anchor=False)
    if not names:
        st.caption(t("runs.no_shipped"))
        return
    for name in names:
        try:
            checkpoint = open_checkpoint(name)
        except UserError as error:
            st.error(error_text(error), icon=":material/error:")
            continue
        accuracy = percent(checkpoint.metrics.get("test_accuracy"))
        with st.expander(t("runs.shipped_title", name=name, accuracy=accuracy, dataset=checkpoint.config.data.dataset)):
            card = model_card(name)
            if card is not None:
                st.markdown(card.read_text(encoding="utf-8"))
            st.download_button(
                t("runs.weights"),
                checkpoint.path.read_bytes,
                file_name=checkpoint.path.name,
                icon=":material/download:",
                key=f"runs_shipped_{name}",
                on_click="ignore",
            )
