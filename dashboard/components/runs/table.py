"""The table of runs with its filters; what is chosen in it is what the rest of the page shows."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from zlib import crc32

import pandas as pd
import streamlit as st

from dashboard.bootstrap import told
from dashboard.components.formats import PERCENT
from dashboard.components.runs.words import status_word
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.errors import UserError
from resnet_core.runs import STATUSES, Run

UNDO = "runs_deleted"  # ids, the latest last
CHOSEN = "runs_chosen"  # ids
MOST_ROWS, TALLEST = 7, 290  # more rows scroll, in a table of so many pixels; one that is cut says so
COLUMNS = ("name", "model", "dataset", "status", "epoch", "valid", "test", "created", "note")


def choose_runs() -> tuple[Run, ...]:
    """The runs whose rows a person selected; the newest with an epoch to show where none is.

    A table knows its selection by the numbers of rows, so every other list of rows is another table, which begins with the runs that were
    chosen. After a deletion nothing is shown until it is chosen: a second press of Delete must not meet another run.
    """
    runs = store().runs()
    if not runs:
        st.info(t("runs.none"), icon=":material/info:")
        return ()
    shown = _filtered(runs)
    if not shown:
        st.caption(t("runs.none_match"))
        return ()
    names = [run.run for run in shown]
    chosen = [place for place, name in enumerate(names) if name in st.session_state.get(CHOSEN, ())]
    event = st.dataframe(
        _table(shown),
        key=f"runs_table_{crc32(' '.join(names).encode()):08x}",
        selection_default={"selection": {"rows": chosen}},
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        height="content" if len(shown) <= MOST_ROWS else TALLEST,
        column_config=_columns(),
        placeholder="–",
        alt=t("runs.table_alt"),
    )
    st.caption(t("runs.table_read"))
    rows = event["selection"]["rows"]
    hidden = [name for name in st.session_state.get(CHOSEN, ()) if name not in names]  # by a filter: it may come back
    st.session_state[CHOSEN] = [*hidden, *(names[row] for row in rows)]
    if not rows and st.session_state.get(UNDO):
        return ()
    return tuple(shown[row] for row in rows) or (next((run for run in shown if run.epoch), shown[0]),)


def choose(run: str) -> None:
    """Select its row, and no other, the next time that the table is drawn."""
    st.session_state[CHOSEN] = [run]


def _filtered(runs: Sequence[Run]) -> list[Run]:
    words, datasets, statuses = st.columns([2, 1, 2])
    text = words.text_input(t("runs.search"), key="runs_search", placeholder=t("runs.search_hint"), persist_state="session").lower()
    dataset = datasets.selectbox(
        t("setting.dataset.label"),
        ["", *sorted({run.dataset for run in runs})],
        key="runs_dataset",
        persist_state="session",
        format_func=lambda name: name or t("runs.all"),
    )
    present = [status for status in STATUSES if any(run.status == status for run in runs)]
    kept = statuses.pills(
        t("runs.status"),
        present,
        selection_mode="multi",
        key="runs_status",
        format_func=lambda status: t(f"status.{status}"),
        persist_state="session",
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
            run.name, run.model_name, run.dataset, status_word(run), _epochs(run), run.best_valid_accuracy,
            run.test_accuracy, time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)), run.note,
        )
        for run in runs
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.assign(**{name: 100 * table[name].astype(float) for name in ("valid", "test")})


def _epochs(run: Run) -> str:
    return t("runs.imported_row") if run.is_imported else f"{run.epoch} / {run.config.train.epochs}"


def _columns() -> dict[str, object]:
    return {
        name: st.column_config.NumberColumn(t(f"runs.column_{name}"), format=PERCENT)
        if name in ("valid", "test")
        else st.column_config.TextColumn(t(f"runs.column_{name}"))
        for name in COLUMNS
    }


def forget(run: Run) -> None:
    """Hide the run, and remember it so that it can be brought back; one that has its turn by now stays."""

    def hide() -> None:
        store().delete(run.run)
        st.session_state[UNDO] = [*st.session_state.get(UNDO, ()), run.run]

    told(hide)


def offer_undo() -> None:
    """Of every deleted run: bring it back, or remove its files for good. Those deleted in this window come first, the latest on top; others,
    whose files take room until somebody removes them, behind a button."""
    hidden = [run.run for run in store().runs(deleted=True)]
    here = [run for run in reversed(st.session_state.get(UNDO, ())) if run in hidden]
    for run in here:
        _deleted_run(run)
    if others := [run for run in hidden if run not in here]:
        with st.popover(t("runs.deleted_before", count=len(others)), icon=":material/delete:", type="tertiary"):
            for run in others:
                _deleted_run(run)


def _deleted_run(run: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(t("runs.deleted", run=run), width="content")
        for what, icon, act in (("undo", "undo", store().restore), ("purge", "delete_forever", store().purge)):
            st.button(t(f"runs.{what}"), icon=f":material/{icon}:", key=f"runs_{what}_{run}", on_click=_settle, args=(run, act))


def _settle(run: str, act: Callable[[str], None]) -> None:
    with suppress(UserError):  # gone by now: removed in another window or on the command line
        act(run)
    st.session_state[UNDO] = [other for other in st.session_state.get(UNDO, ()) if other != run]
