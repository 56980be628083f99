"""How large the gradient was in each part of a network while it trained: a heatmap over the steps, live while it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.charts.gradient_history import binned_norms, common_limits, norm_heatmap, recorded_norms
from dashboard.components.csv_button import csv_button
from dashboard.components.names import network_label, short_block
from dashboard.components.runs.words import status_badge
from dashboard.components.training.data import steps_of
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.models import place_of
from resnet_core.runs import Checkpoint, Run, read_blocks, shipped_names

TICK = 1.0  # seconds
CHOSEN = "gradient_run"
ROWS = ("parts", "layers")
LOW, TALLEST, ROW = 170, 480, 14  # px


def history_view(checkpoint: Checkpoint) -> None:
    """The chosen network's run, or another one that has steps; with it, the others of its experiment."""
    st.subheader(t("gradients.history_title"), anchor=False)
    runs = {run.run: run for run in store().runs() if run.step or _is_going_on(run)}
    own = checkpoint.name.partition("@")[0]
    if checkpoint.name in shipped_names():
        st.caption(t("gradients.history_shipped", name=checkpoint.name))
    if not runs:
        st.caption(t("gradients.history_none"))
        return
    if st.session_state.get(CHOSEN) not in runs:
        st.session_state[CHOSEN] = own if own in runs else next((key for key, run in runs.items() if _is_going_on(run)), next(iter(runs)))
    elif own in runs and st.session_state.get(f"{CHOSEN}_of") != own:
        st.session_state[CHOSEN] = own  # another network was chosen above: its run is shown
    st.session_state[f"{CHOSEN}_of"] = own
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.selectbox(t("gradients.history_run"), list(runs), format_func=lambda key: _title(runs[key]), key=CHOSEN, width=420)
        csv_button(
            lambda: _csv(store().pair_of(store().run(name))),
            f"{name}-gradients.csv",
            help=t("gradients.download_history"),
            key="gradient_history_csv",
        )
    by_layer = ROWS[1] == st.segmented_control(
        t("gradients.history_rows"),
        ROWS,
        format_func=lambda option: t(f"gradients.history_{option}"),
        default=ROWS[0],
        required=True,
        key="gradient_history_rows",
    )
    going_on = any(_is_going_on(run) for run in store().pair_of(runs[name]))

    @st.fragment(run_every=TICK if going_on else None)
    def panel() -> None:
        with guarded():
            members = store().pair_of(store().run(name))
            _show([run for run in members if run.step], by_layer)
            if going_on and not any(_is_going_on(run) for run in members):
                st.rerun()

    panel()


def _is_going_on(run: Run) -> bool:
    return run.is_active or run.status == "queued"


def _title(run: Run) -> str:
    own = run.run.rpartition("-")[2] if run.name == run.run else run.name
    return f"{network_label(run.model_name)} · {run.dataset} · {own}"


def _show(members: Sequence[Run], by_layer: bool) -> None:
    """One heatmap per network of the experiment, on one scale of colours."""
    if not members:
        st.caption(t("gradients.history_waiting"))
        return
    shown = [_layers(run) if by_layer else _parts(run) for run in members]
    if by_layer and all(one.table.empty for one in shown):
        st.caption(t("gradients.history_no_layers", setting=t("setting.probe_every.label")))
        return
    limits = common_limits([one.table for one in shown])
    for place, run, one in zip(st.columns(max(2, len(shown))), members, shown, strict=False):
        with place:
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                st.markdown(f"**{network_label(run.model_name)}**", width="content")
                status_badge(run)
            chart = norm_heatmap(
                one.table,
                one.words,
                x_title=t("axis.step"),
                norm_title=t("gradients.norm"),
                limits=limits,
                x_end=run.total_steps,
                height=min(TALLEST, max(LOW, ROW * len(one.words))),
            )
            with st.container(key=f"gradient_history_{run.run}"):
                alt = t("gradients.history_alt", network=network_label(run.model_name))
                st.altair_chart(chart, key=f"gradient_heatmap_{run.run}", width="stretch", alt=alt)
    said = t("gradients.history_layers_read", setting=t("setting.probe_every.label")) if by_layer else t("gradients.history_read")
    st.caption(said)


@dataclass(frozen=True, kw_only=True)
class _Heatmap:
    """Rows of `norm_heatmap`, and what people call them, from the stem to the head."""

    table: pd.DataFrame
    words: dict[str, str]


def _parts(run: Run) -> _Heatmap:
    """Stem, stages and head at every step."""
    steps = steps_of(run)
    return _Heatmap(table=binned_norms(steps.step, steps.gradient_norms), words={part: part_word(part) for part in steps.gradient_norms})


def _layers(run: Run) -> _Heatmap:
    """Every layer of every block, where the blocks were recorded; trainings of older versions recorded none."""
    records = {step: blocks for step, blocks in read_blocks(store(), run.run).items() if any(block.layer_grad_norms for block in blocks)}
    blocks = next(iter(records.values()), ())
    words = {f"{block.name}.{layer}": _layer_word(block.name, layer) for block in blocks for layer in block.layer_grad_norms or {}}
    found = [
        {f"{b.name}.{layer}": norm for b in record for layer, norm in (b.layer_grad_norms or {}).items()} for record in records.values()
    ]
    norms = {name: [record.get(name) for record in found] for name in words}
    return _Heatmap(table=recorded_norms(list(records), norms), words=words)


def _layer_word(block: str, layer: str) -> str:
    """`2.1 conv1`; what is not inside F keeps its path."""
    return f"{short_block(block)} {layer.removeprefix('residual.')}"


def part_word(part: str) -> str:
    """`stages.1` is "stage 2"; the stem and the head keep their names."""
    return t("part.stage", stage=place_of(f"{part}.0")[0]) if part.startswith("stages.") else part


def _csv(members: Sequence[Run]) -> bytes:
    """One line per run and step with a column for each part, not averaged."""
    tables = []
    for run in members:
        steps = steps_of(run)
        tables.append(pd.DataFrame({"run": run.run, "network": run.model_name, "step": steps.step, **steps.gradient_norms}))
    return pd.concat(tables).to_csv(index=False).encode()
