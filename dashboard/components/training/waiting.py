"""Who waits for which device, in order; a waiting run can be moved and taken out."""

from itertools import groupby

import streamlit as st

from dashboard.bootstrap import told
from dashboard.components.formats import literal
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.runs import Run


def waiting_runs(runs: tuple[Run, ...]) -> None:
    """A button with the queue behind it. It is always there, grey where nobody waits: nothing moves when the last one has its turn."""
    queued = sorted((run for run in runs if run.status == "queued"), key=lambda run: (run.device, run.position or 0))
    label = t("waiting.open", count=len(queued))
    with st.popover(label, icon=":material/hourglass_top:", key="train_waiting", disabled=not queued, width="content"):
        for device, group in groupby(queued, key=lambda run: run.device):
            members = list(group)
            busy = next((run for run in runs if run.is_active and run.device == device), None)
            title = (
                t("waiting.behind_paused" if busy.status == "paused" else "waiting.behind", device=device.upper(), name=literal(busy.name))
                if busy is not None
                else t("waiting.title", device=device.upper())
            )
            st.caption(title)
            for place, run in enumerate(members):
                _row(run, first=place == 0, last=place == len(members) - 1)


def _row(run: Run, *, first: bool, last: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            t("waiting.row", position=run.position, name=literal(run.name), network=run.model_name, dataset=literal(run.dataset)),
            width="stretch",
        )
        keys = {what: f"train_{what}_{run.run}" for what in ("up", "down", "out")}
        st.button(":material/arrow_upward:", key=keys["up"], help=t("waiting.up"), disabled=first, on_click=_move, args=(run.run, -1))
        st.button(":material/arrow_downward:", key=keys["down"], help=t("waiting.down"), disabled=last, on_click=_move, args=(run.run, 1))
        st.button(":material/close:", key=keys["out"], help=t("waiting.out"), on_click=_take_out, args=(run.run,))


def _move(run: str, by: int) -> None:
    told(lambda: store().move(run, by))


def _take_out(run: str) -> None:
    """Out of the queue; one that has its turn by now trains on."""
    told(lambda: store().send(run, "stop") if store().run(run).status == "queued" else None)
