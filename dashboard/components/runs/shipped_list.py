"""The networks that came with Residual Lens: a table of all, and the card of the one that is asked for."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.components.formats import PERCENT
from dashboard.i18n import error_text, t
from dashboard.loading import open_checkpoint
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint, model_card, shipped_names


def show_shipped() -> None:
    names = shipped_names()
    st.subheader(t("runs.shipped"), anchor=False)
    if not names:
        st.caption(t("runs.no_shipped"))
        return
    found = _opened(names)
    if not found:
        return
    st.dataframe(
        _table(found),
        key="runs_shipped",
        hide_index=True,
        height="content",
        column_config={
            "name": st.column_config.TextColumn(t("runs.name")),
            "model": st.column_config.TextColumn(t("runs.column_model")),
            "dataset": st.column_config.TextColumn(t("runs.column_dataset"), width="medium"),
            "test": st.column_config.NumberColumn(t("runs.column_test"), format=PERCENT),
            "loss": st.column_config.NumberColumn(t("runs.column_test_loss"), format="%.4f"),
            "epochs": st.column_config.NumberColumn(t("runs.column_epoch")),
            "size": st.column_config.NumberColumn(t("runs.column_size"), format="%.1f"),
        },
        placeholder="–",
        alt=t("runs.shipped"),
    )
    chosen = st.selectbox(
        t("runs.card"), [checkpoint.name for checkpoint in found], index=None, placeholder=t("runs.card_hint"), key="runs_shipped_card"
    )
    for checkpoint in found:
        if checkpoint.name == chosen:
            _card(checkpoint)


def _opened(names: Sequence[str]) -> list[Checkpoint]:
    """Those that can be read; what is wrong with another is said in its place."""
    found = []
    for name in names:
        try:
            found.append(open_checkpoint(name))
        except UserError as error:
            st.error(error_text(error), icon=":material/error:")
    return found


def _table(checkpoints: Sequence[Checkpoint]) -> pd.DataFrame:
    rows = [
        (
            checkpoint.name, checkpoint.model_name, checkpoint.config.data.dataset, checkpoint.metrics.get("test_accuracy"),
            checkpoint.metrics.get("test_loss"), checkpoint.metrics.get("epoch"), checkpoint.path.stat().st_size / 1e6,
        )
        for checkpoint in checkpoints
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["name", "model", "dataset", "test", "loss", "epochs", "size"])
    return table.assign(test=100 * table["test"].astype(float), loss=table["loss"].astype(float))


def _card(checkpoint: Checkpoint) -> None:
    card = model_card(checkpoint.name)
    with st.container(border=True):
        if card is not None:
            st.markdown(card.read_text(encoding="utf-8"))
        st.download_button(
            t("runs.weights"),
            checkpoint.path.read_bytes,
            file_name=checkpoint.path.name,
            icon=":material/download:",
            key=f"runs_shipped_{checkpoint.name}",
            on_click="ignore",
        )
