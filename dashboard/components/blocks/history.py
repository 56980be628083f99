"""What every block did while the network trained: one measurement as a heatmap over the steps, live; a click opens block and checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.charts.block_history import CELL, MOST_COLUMNS, history_cells, history_heatmap
from dashboard.components.blocks.strip import MEASURES
from dashboard.components.csv_button import csv_button
from dashboard.components.formats import percent
from dashboard.components.names import block_label, checkpoint_label, network_label, short_block
from dashboard.components.polling import seconds_between_looks
from dashboard.components.runs.words import status_badge
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import open_checkpoint, store
from dashboard.state import ShownImage, select, selection
from resnet_core.errors import UserError
from resnet_core.inspection import BlockStatistics
from resnet_core.runs import Checkpoint, Run, checkpoints_of, read_blocks, run_of, shipped_blocks
from resnet_core.runs.files import folder_size
from resnet_core.training.loop import PROBE_IMAGES

SHOWN = ("ratio", "cosine", "residual_std", "output_norm", "dead_share")
CHOSEN = "history_measure"
OPENED = "history_opened"  # what a click on a cell opened, said once the page shows it
PASSES = 3  # of the network forward, for one image of a training step: back through weights and activations costs as much again, twice

Records = Mapping[int, Sequence[BlockStatistics]]


@dataclass(frozen=True, kw_only=True)
class KeptCheckpoint:
    """One of a run's checkpoints and the step it was written at."""

    which: str
    step: int


def history_view(checkpoint: Checkpoint, image: ShownImage) -> None:
    """The chosen network's run over its steps; polled while it waits or works."""
    name = run_of(checkpoint.name)
    if not store().exists(name):
        _show_shipped(checkpoint)
        return
    found = store().run(name)
    going_on = found.is_going_on

    @st.fragment(run_every=seconds_between_looks([found]) if going_on else None)
    def panel() -> None:
        with guarded():
            if (opened := st.session_state.pop(OPENED, None)) is not None:
                st.session_state[f"{OPENED}_words"] = opened
                st.rerun()
            if (words := st.session_state.pop(f"{OPENED}_words", None)) is not None:
                st.toast(words, icon=":material/open_in_full:")
            run = store().run(name)
            _show(run)
            if going_on and not run.is_going_on:
                st.rerun()

    panel()


def _show(run: Run) -> None:
    records = read_blocks(store(), run.run)
    if not records:
        st.caption(t("history.waiting") if run.is_going_on else t("history.none"))
        st.caption(_disk(run))
        return
    measure = _controls(run.run, records, run)
    key = f"block_history_{run.run}_{selection().block}"  # the selection ends with what it opened: the same cell can be clicked again
    _draw(records, measure, run.model_name, key=key, x_end=run.total_steps, opens=lambda: _open(key, run))
    st.caption(f"{_cadence(run)} {_disk(run)}")


def _show_shipped(checkpoint: Checkpoint) -> None:
    """From the history in the checkpoint's own file; it keeps no weights of earlier steps, so a click opens the block alone."""
    records = shipped_blocks(checkpoint.metrics)
    if not records:
        st.caption(t("history.shipped", name=checkpoint.name))
        return
    measure = _controls(checkpoint.name, records)
    key = f"block_history_{checkpoint.name}_{selection().block}"

    def opens() -> None:
        if cells := st.session_state[key]["selection"].get(CELL):
            select(block=str(cells[0]["name"]))

    _draw(records, measure, checkpoint.model_name, key=key, x_end=max(records), opens=opens)
    every = checkpoint.config.train.probe_every
    st.caption(t("history.each_epoch" if every is None else "history.each_steps", images=PROBE_IMAGES, every=every))


def _draw(records: Records, measure: str, model_name: str, *, key: str, x_end: int, opens: Callable[[], None]) -> None:
    labels = {block.name: block_label(block.name) for block in next(iter(records.values()))}
    values = {step: {block.name: getattr(block, measure) for block in blocks} for step, blocks in records.items()}
    with st.container(key="block_history"):
        show_vega(
            history_heatmap(
                history_cells(values, labels),
                {name: short_block(name) for name in labels},
                x_title=t("axis.step"),
                y_title=t("history.block_axis"),
                value_title=t(MEASURES[measure].title),
                digits=MEASURES[measure].digits,
                diverging=measure == "cosine",
                limit=1.0 if measure == "dead_share" else None,
                x_end=x_end,
                selected=selection().block,
            ),
            key=key,
            on_select=opens,
            selection_mode=CELL,
            alt=t("history.alt", measure=t(MEASURES[measure].title), network=network_label(model_name)),
        )
    means = t("history.means", measure=t(MEASURES[measure].title), help=t(MEASURES[measure].help))
    st.caption(" ".join([means, t("history.read"), *_thinned(len(records))]))


def _controls(name: str, records: Records, run: Run | None = None) -> str:
    """Which measurement; those that these blocks do not have are left out."""
    latest = records[max(records)]
    options = [option for option in SHOWN if any(getattr(block, option) is not None for block in latest)]
    if st.session_state.get(CHOSEN) not in options:
        st.session_state[CHOSEN] = options[0]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        measure = st.segmented_control(
            t("history.measure"), options, format_func=lambda option: t(MEASURES[option].title), required=True, key=CHOSEN
        )
        csv_button(
            lambda: _csv(records if run is None else read_blocks(store(), run.run)),
            f"{name}-blocks.csv",
            help=t("history.download"),
            key="block_history_csv",
        )
        if run is not None:
            status_badge(run)
    return str(measure)


# -- a click ----------------------------------------------------------------------------------------------------------------------


def _open(key: str, run: Run) -> None:
    """The clicked cell's block, and the checkpoint that was written nearest to its step."""
    cells = st.session_state[key]["selection"].get(CELL)
    if not cells:
        return
    block, step = str(cells[0]["name"]), int(cells[0]["step"])
    select(block=block)
    kept = nearest_checkpoint(run, step)
    if kept is not None:
        select(run=run.run if kept.which == _result(run) else f"{run.run}@{kept.which}")
        st.session_state[OPENED] = t(
            "history.opened", block=block_label(block), step=step, checkpoint=checkpoint_label(kept.which), at=kept.step
        )
    else:
        st.session_state[OPENED] = t("history.opened_block", block=block_label(block))


def nearest_checkpoint(run: Run, step: int) -> KeptCheckpoint | None:
    """The one whose step is nearest; of several at the same step, the one that the run's name alone stands for."""
    found = []
    for which in checkpoints_of(run.folder):
        try:
            found.append(KeptCheckpoint(which=which, step=int(open_checkpoint(f"{run.run}@{which}").metrics["step"])))
        except UserError:  # damaged, or gone meanwhile
            continue
    return min(found, key=lambda kept: (abs(kept.step - step), kept.which != _result(run)), default=None)


def _result(run: Run) -> str:
    return str(run.result.get("tested", "last"))


# -- in words ---------------------------------------------------------------------------------------------------------------------


def _thinned(count: int) -> list[str]:
    return [t("history.thinned", shown=MOST_COLUMNS, count=count)] if count > MOST_COLUMNS else []


def _cadence(run: Run) -> str:
    """How often it was recorded, and what that cost the training."""
    every, images = run.config.train.probe_every, run.facts.get("train_images")
    often = "history.each_epoch" if every is None else "history.each_steps"
    said = t(often, images=PROBE_IMAGES, every=every)
    setting = t("history.cadence", setting=t("setting.probe_every.label"))
    if not images:
        return f"{said} {setting}"
    recordings = 1 if every is None else 1 + (run.facts["steps_per_epoch"] - 1) // every
    share = recordings * PROBE_IMAGES / (PASSES * images)
    return f"{said} {t('history.cost', share=percent(share, 1))} {setting}"


def _disk(run: Run) -> str:
    kept = [checkpoint_label(which) for which in checkpoints_of(run.folder)]
    size = f"{folder_size(run.folder) / 1e6:,.1f}"
    if not kept:
        return t("history.no_checkpoints", size=size)
    return t("history.disk", count=len(kept), names=t("history.comma").join(kept), size=size)


def _csv(records: Records) -> bytes:
    """One line per recording and block, with every measurement; none is left out."""
    return (
        pd.DataFrame([{"step": step, **asdict(block)} for step, blocks in records.items() for block in blocks]).to_csv(index=False).encode()
    )
