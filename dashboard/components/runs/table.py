"""The table of runs with its filters; what is chosen in it is what the rest of the page shows."""

import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.components.runs.words import status_word
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.runs import STATUSES, Run

UNDO = "runs_deleted"
COLUMNS = ("name", "model", "dataset", "status", "epoch", "valid", "test", "created", "note")


def choose_runs() -> tuple[Run, ...]:
    """The rows that a person selected; the newest with an epoch to show where none is."""
    runs = store().runs()
    if not runs:
        st.info(t("runs.none"), icon=":material/info:")
        return ()
    shown = _filtered(runs)
    if not shown:
        st.caption(t("runs.none_match"))
        return ()
    event = st.dataframe(
        _table(shown),
        key="runs_table",
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        height=min(36 * (len(shown) + 1) + 2, 290),
        column_config=_columns(),
        placeholder="–",
        alt=t("runs.table_alt"),
    )
    st.caption(t("runs.table_read"))
    rows = [row for row in event["selection"]["rows"] if row < len(shown)]
    return tuple(shown[row] for row in rows) or (next((run for run in shown if run.epoch), shown[0]),)


def _filtered(runs: Sequence[Run]) -> list[Run]:
    words, datasets, statuses = st.columns([2, 1, 2])
    text = words.text_input(t("runs.search"), key="runs_search", placeholder=t("runs.search_hint"), persist_state="session").lower()
    dataset = datasets.selectbox(
        t("setting.dataset.label"),
        ["", *sorted({run.dataset for run in runs})],
        key="runs_dataset",
        format_func=lambda name: name or t("runs.all"),
    )
    present = [status for status in STATUSES if any(run.status == status for run in runs)]
    kept = statuses.pills(
        t("runs.status"), present, selection_mode="multi", key="runs_status", format_func=lambda status: t(f"status.{status}")
    )
    return [
        run
        for run in runs
        if text in f"{run.name} {run.run} {run.model_name} {run.note}".lower()
        and (not dataset or run.dataset == dataset)
        and (not kept or run.status in kept)
    ]


def _table(runs: Sequence[Run]) -> pd.DataFrame:
    rows = [
        (
            run.name, run.model_name, run.dataset, status_word(run), f"{run.epoch} / {run.config.train.epochs}", run.best_valid_accuracy,
            run.test_accuracy, time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)), run.note,
        )
        for run in runs
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"valid": float, "test": float})


def _columns() -> dict[str, object]:
    share = {"valid": "percent", "test": "percent"}
    return {
        name: st.column_config.NumberColumn(t(f"runs.column_{name}"), format=share[name])
        if name in share
        else st.column_config.TextColumn(t(f"runs.column_{name}"))
        for name in COLUMNS
    }


def forget(run: Run) -> None:
    """Hide the run, and remember it so that it can be brought back."""
    store().delete(run.run)
    st.session_state[UNDO] = run.run


def offer_undo() -> None:
    """After a deletion: bring the run back, or remove its files for good."""
    deleted = st.session_state.get(UNDO)
    if deleted is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(t("runs.deleted", run=deleted), width="content")
        if st.button(t("runs.undo"), icon=":material/undo:", key="runs_undo"):
            store().restore(deleted)
            del st.session_state[UNDO]
            st.rerun()
        if st.button(t("runs.purge"), icon=":material/delete_forever:", key="runs_purge"):
            store().purge(deleted)
            del st.session_state[UNDO]
            st.rerun()
