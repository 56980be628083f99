"""How large the gradient was in each part of a network while it trained: a heatmap over the steps, live while it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.charts.gradient_history import AXIS, binned_norms, common_limits, norm_heatmap, recorded_norms
from dashboard.components.csv_button import csv_button
from dashboard.components.gradients.recordings import LAYERS, Recording, recording_of, trained_together
from dashboard.components.names import distinct, network_label, part_word, short_block
from dashboard.components.polling import seconds_between_looks
from dashboard.components.runs.words import status_badge
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.runs import Checkpoint, run_of, shipped_names

CHOSEN = "gradient_run"
LOW, TALLEST, ROW = 170, 540, 13  # px


def history_view(checkpoint: Checkpoint) -> None:
    """The chosen network's training, or another one that has steps; with it, the others of its experiment."""
    st.subheader(t("gradients.history_title"), anchor=False)
    runs = [Recording(run=run) for run in store().runs()]
    shipped = recording_of(checkpoint)
    recordings = {one.name: one for one in (*([shipped] if shipped else []), *runs) if one.has_begun or one.is_going_on}
    own = run_of(checkpoint.name)
    if shipped is None and checkpoint.name in shipped_names():
        st.caption(t("gradients.history_shipped", name=checkpoint.name))
    if not recordings:
        st.caption(t("gradients.history_none"))
        return
    if st.session_state.get(CHOSEN) not in recordings:
        st.session_state[CHOSEN] = (
            own if own in recordings else next((n for n, one in recordings.items() if one.is_going_on), next(iter(recordings)))
        )
    elif own in recordings and st.session_state.get(f"{CHOSEN}_of") != own:
        st.session_state[CHOSEN] = own  # another network was chosen above: its training is shown
    st.session_state[f"{CHOSEN}_of"] = own
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        titles = distinct({key: one.title for key, one in recordings.items()})
        name = st.selectbox(t("gradients.history_run"), list(titles), format_func=lambda key: titles[key], key=CHOSEN, width=420)
        chosen = recordings[name]
        by_layer = _rows(chosen) == LAYERS
        csv_button(
            lambda: _csv(trained_together(chosen), by_layer),
            f"{name}-gradients.csv",
            help=t("gradients.download_history"),
            key="gradient_history_csv",
        )
    going_on = any(one.is_going_on for one in trained_together(chosen))
    known = [one.run for one in recordings.values() if one.run is not None]

    @st.fragment(run_every=seconds_between_looks(known) if going_on else None)
    def panel() -> None:
        with guarded():
            members = trained_together(chosen)
            _show([one for one in members if one.has_begun], by_layer)
            if going_on and not any(one.is_going_on for one in members):
                st.rerun()

    panel()


def _rows(chosen: Recording) -> str:
    """Parts or layers; no question where there is one answer."""
    rows = chosen.rows()
    if len(rows) == 1:
        return rows[0]
    return st.segmented_control(
        t("gradients.history_rows"),
        rows,
        format_func=lambda option: t(f"gradients.history_{option}"),
        default=rows[0],
        required=True,
        key="gradient_history_rows",
    )


def _show(members: Sequence[Recording], by_layer: bool) -> None:
    """One heatmap per network of the experiment, on one scale of colours."""
    if not members:
        st.caption(t("gradients.history_waiting"))
        return
    shown = [_layers(one) if by_layer else _parts(one) for one in members]
    if by_layer and all(one.table.empty for one in shown):
        st.caption(t("gradients.history_no_layers", setting=t("setting.probe_every.label")))
        return
    limits = common_limits([one.table for one in shown])
    for place, recording, one in zip(st.columns(max(2, len(shown))), members, shown, strict=False):
        with place:
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                st.markdown(f"**{network_label(recording.model_name)}**", width="content")
                if recording.run is not None:
                    status_badge(recording.run)
            chart = norm_heatmap(
                one.table,
                one.words,
                x_title=t("axis.step"),
                norm_title=t("gradients.norm"),
                limits=limits,
                x_end=recording.total_steps,
                height=min(TALLEST, max(LOW, AXIS + ROW * len(one.words))),
            )
            with st.container(key=f"gradient_history_{recording.name}"):
                alt = t("gradients.history_alt", network=network_label(recording.model_name))
                show_vega(chart, key=f"gradient_heatmap_{recording.name}", alt=alt)
    said = t("gradients.history_layers_read", setting=t("setting.probe_every.label")) if by_layer else t("gradients.history_read")
    st.caption(said)


@dataclass(frozen=True, kw_only=True)
class _Heatmap:
    """Rows of `norm_heatmap`, and what people call them, from the stem to the head."""

    table: pd.DataFrame
    words: dict[str, str]


def _parts(recording: Recording) -> _Heatmap:
    """Stem, stages and head."""
    steps, norms = recording.part_norms()
    return _Heatmap(table=binned_norms(steps, norms), words={part: part_word(part) for part in norms})


def _layers(recording: Recording) -> _Heatmap:
    """Every layer of every block, where the blocks were recorded."""
    steps, norms = recording.layer_norms()
    words = {f"{block}.{layer}": _layer_word(block, layer) for block, layer in norms}
    return _Heatmap(table=recorded_norms(steps, dict(zip(words, norms.values(), strict=True))), words=words)


def _layer_word(block: str, layer: str) -> str:
    """`2.1 conv1`; what is not inside F keeps its path."""
    return f"{short_block(block)} {layer.removeprefix('residual.')}"


def _csv(members: Sequence[Recording], by_layer: bool) -> bytes:
    """One line per network and step with a column for each part or layer, not averaged."""
    tables = []
    for one in members:
        steps, norms = one.part_norms()
        if by_layer:
            steps, by_place = one.layer_norms()
            norms = {".".join(place): values for place, values in by_place.items()}
        tables.append(pd.DataFrame({"run": one.name, "network": one.model_name, "step": steps, **norms}))
    return pd.concat(tables).to_csv(index=False).encode()
