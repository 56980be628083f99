"""How large the gradient was in each part of a network while it trained: a heatmap over the steps, live while it runs."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.charts.gradient_history import binned_norms, common_limits, norm_heatmap
from dashboard.components.names import network_label
from dashboard.components.runs.words import status_badge
from dashboard.components.training.data import steps_of
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.models import place_of
from resnet_core.runs import Checkpoint, Run, shipped_names

TICK = 1.0  # seconds
CHOSEN = "gradient_run"


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
        st.download_button(
            "",
            data=lambda: _csv(store().pair_of(store().run(name))),
            file_name=f"{name}-gradients.csv",
            mime="text/csv",
            icon=":material/download:",
            help=t("gradients.download_history"),
            key="gradient_history_csv",
            on_click="ignore",
        )
    going_on = any(_is_going_on(run) for run in store().pair_of(runs[name]))

    @st.fragment(run_every=TICK if going_on else None)
    def panel() -> None:
        with guarded():
            members = store().pair_of(store().run(name))
            _show([run for run in members if run.step])
            if going_on and not any(_is_going_on(run) for run in members):
                st.rerun()

    panel()


def _is_going_on(run: Run) -> bool:
    return run.is_active or run.status == "queued"


def _title(run: Run) -> str:
    own = run.run.rpartition("-")[2] if run.name == run.run else run.name
    return f"{network_label(run.model_name)} · {run.dataset} · {own}"


def _show(members: Sequence[Run]) -> None:
    """One heatmap per network of the experiment, on one scale of colours."""
    if not members:
        st.caption(t("gradients.history_waiting"))
        return
    found = [(run, steps_of(run)) for run in members]
    tables = [binned_norms(steps.step, steps.gradient_norms) for _, steps in found]
    limits = common_limits(tables)
    for place, (run, steps), data in zip(st.columns(max(2, len(found))), found, tables, strict=False):
        with place:
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                st.markdown(f"**{network_label(run.model_name)}**", width="content")
                status_badge(run)
            chart = norm_heatmap(
                data,
                {part: part_word(part) for part in steps.gradient_norms},
                x_title=t("axis.step"),
                norm_title=t("gradients.norm"),
                limits=limits,
                x_end=run.total_steps,
            )
            with st.container(key=f"gradient_history_{run.run}"):
                alt = t("gradients.history_alt", network=network_label(run.model_name))
                st.altair_chart(chart, key=f"gradient_heatmap_{run.run}", width="stretch", alt=alt)
    st.caption(t("gradients.history_read"))


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
