"""One chosen run to rename, note, download or delete; several, as the difference of their settings."""

import csv
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.bootstrap import told
from dashboard.components.formats import device_words, duration, literal, percent
from dashboard.components.runs.table import forget
from dashboard.components.runs.words import display_names, show_error
from dashboard.components.training.prefill import prefill_again
from dashboard.components.training.words import setting_word
from dashboard.i18n import t
from dashboard.loading import store
from dashboard.state import select
from resnet_core.config import RunConfig
from resnet_core.presets import differences
from resnet_core.recipes import recipe_text
from resnet_core.runs import Run, checkpoints_of, export_run, read_epochs, resume
from resnet_core.runs.exports import missing_packages
from resnet_core.runs.process import PROJECT
from resnet_core.training.device import ComputePlan

INSIDE, AGAIN = "runs_go_inside", "runs_train_again"


def show_details(runs: Sequence[Run]) -> None:
    if len(runs) == 1:
        _one(runs[0])
    else:
        _difference(runs)
    if st.session_state.pop(INSIDE, False):
        st.switch_page("pages/residual-blocks.py")
    if st.session_state.pop(AGAIN, False):
        st.switch_page("pages/train.py")


def _one(run: Run) -> None:
    st.subheader(literal(run.name), anchor=False)
    show_error(run)
    facts, words = st.columns([2, 1.2])
    with facts:
        st.markdown(_facts(run))
        with st.container(horizontal=True):
            _downloads(run)
            if run.is_resumable and st.button(t("train.resume"), icon=":material/play_arrow:", key="runs_resume"):
                resume(store(), run.run)
                st.rerun()
            st.button(
                t("runs.delete", name=literal(run.name)),
                icon=":material/delete:",
                key="runs_delete",
                disabled=run.is_active,
                help=t("runs.delete_help"),
                on_click=forget,
                args=(run,),
            )
        _settings(run)
    with words:
        changed = {"on_change": _write_down, "args": (run.run,)}
        st.text_input(t("runs.name"), value=run.name, key=f"runs_name_{run.run}", max_chars=80, **changed)
        st.text_area(t("runs.note"), value=run.note, key=f"runs_note_{run.run}", height=80, **changed)


def _settings(run: Run) -> None:
    """How it was trained: what differs from the defaults, as a recipe, and the way to train so again."""
    if run.is_imported:
        return
    with st.expander(t("runs.settings"), icon=":material/tune:"):
        changed = differences(run.config, RunConfig())
        rows = [
            {
                t("runs.setting"): t(f"setting.{one.setting}.label"),
                t("runs.setting_value"): setting_word(one.chosen, one.setting),
                t("runs.setting_default"): setting_word(one.recipe, one.setting),
            }
            for one in changed
        ]
        if rows:
            st.table(pd.DataFrame(rows).set_index(t("runs.setting")))
        st.caption(t("runs.settings_read" if rows else "runs.settings_default"))
        with st.container(horizontal=True):
            st.button(t("runs.again"), icon=":material/replay:", key="runs_again", on_click=_again, args=(run,))
            st.download_button(
                t("recipe.save"), recipe_text(run.config), f"{run.run}.toml", "application/toml", icon=":material/download:", key="runs_recipe",
                help=t("recipe.save_help"), on_click="ignore",
            )  # fmt: skip


def _again(run: Run) -> None:
    prefill_again(run.config)
    st.session_state[AGAIN] = True


def _write_down(run: str) -> None:
    """The name and the note as they stand in their fields; without a name a run is called by its id again."""
    name = st.session_state[f"runs_name_{run}"]

    def write() -> None:
        store().rename(run, name)
        store().annotate(run, st.session_state[f"runs_note_{run}"])
        st.session_state[f"runs_name_{run}"] = name.strip() or run

    told(write)


def _facts(run: Run) -> str:
    lines = [t("runs.fact_network", model=run.model_name, dataset=literal(run.dataset), run=run.run)]
    if run.facts:
        parameters = f"{run.facts['parameters']:,}"
        lines.append(t("runs.fact_machine", parameters=parameters, device=device_words(run.facts["device"]), precision=_computed(run)))
    if run.best_valid_accuracy is not None:
        lines.append(t("runs.fact_valid", accuracy=percent(run.best_valid_accuracy), epoch=run.epoch, epochs=run.config.train.epochs))
    if run.test_accuracy is not None:
        lines.append(
            t(
                "runs.fact_test",
                accuracy=percent(run.test_accuracy),
                images=f"{run.result['test_images']:,}",
                time=duration(run.result["seconds"]),
            )
        )
    return "\n".join(f"- {line}" for line in lines)


def _computed(run: Run) -> str:
    """Precision, memory order, convolutions and kernels, as the run chose them at its start."""
    words = ComputePlan.of(run.facts).name.split("/")
    return ", ".join(t("runs.native_kernels") if word == "native" else word for word in words)


def _downloads(run: Run) -> None:
    kept = checkpoints_of(run.folder)
    result = run.result.get("tested", "last")
    if result in kept:
        st.button(
            t("train.look_inside", name=run.model_name), icon=":material/join_right:", key="runs_open", on_click=_open, args=(run.run,)
        )
        file = run.folder / f"{result}.safetensors"
        st.download_button(
            t("runs.weights"),
            file.read_bytes,
            file_name=f"{run.run}.safetensors",
            icon=":material/download:",
            key="runs_weights",
            on_click="ignore",
        )
    st.download_button(
        t("runs.everything"),
        lambda: _archive(run),
        file_name=f"{run.run}.zip",
        mime="application/zip",
        icon=":material/folder_zip:",
        key="runs_everything",
        on_click="ignore",
        help=t("runs.everything_help"),
    )
    if run.epoch:
        st.download_button(
            t("runs.metrics"),
            _metrics_csv(run),
            file_name=f"{run.run}.csv",
            mime="text/csv",
            icon=":material/table:",
            key="runs_metrics",
            on_click="ignore",
        )

    _tensorboard_download(run)


def _tensorboard_download(run: Run) -> None:
    """Event files in a zip; grey, with what to install, where TensorBoard is not."""
    missing = missing_packages("tensorboard")
    command = f"pip install {' '.join(missing)}"
    st.download_button(
        t("runs.tensorboard"),
        lambda: _event_files(run),
        file_name=f"{run.run}-tensorboard.zip",
        mime="application/zip",
        icon=":material/monitoring:",
        key="runs_tensorboard",
        on_click="ignore",
        disabled=bool(missing) or not run.step,
        help=t("error.extra_missing", name="TensorBoard", command=command) if missing else t("runs.tensorboard_help"),
    )


def _event_files(run: Run) -> bytes:
    """Written by a process of its own: TensorBoard's packages would stay in this one."""
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "resnet_core", "runs", "export-tensorboard", run.run, folder]
        subprocess.run(command, cwd=PROJECT, env={**os.environ, "RESNET_RUNS": str(store().root)}, check=True, capture_output=True)
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder))
    return buffer.getvalue()


def _archive(run: Run) -> bytes:
    """The whole run as one zip, made when it is asked for."""
    buffer = io.BytesIO()
    export_run(store(), run.run, buffer)
    return buffer.getvalue()


def _open(run: str) -> None:
    select(run=run)
    st.session_state[INSIDE] = True


def _metrics_csv(run: Run) -> str:
    rows = [vars(row) for row in read_epochs(store(), run.run)]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["epoch"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _difference(runs: Sequence[Run]) -> None:
    """Only the settings in which the chosen runs differ."""
    flats = [run.config.flat() for run in runs]
    differing = [name for name in flats[0] if len({str(flat[name]) for flat in flats}) > 1]
    st.subheader(t("runs.difference"), anchor=False)
    names = display_names(runs)
    columns = [name if names.count(name) == 1 else run.run for name, run in zip(names, runs, strict=True)]
    values = [[t(f"setting.{name}.label"), *(setting_word(flat[name], name) for flat in flats)] for name in differing]
    values.append([t("runs.column_test"), *(percent(run.test_accuracy) for run in runs)])
    st.table(pd.DataFrame(values, columns=[t("runs.setting"), *columns]).set_index(t("runs.setting")))
