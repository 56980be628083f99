"""What a run is called, its status in words and colour, and what ended it."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components.formats import literal
from dashboard.i18n import message_text, t
from resnet_core.runs import Run

COLORS = {
    "queued": "gray", "running": "blue", "paused": "yellow", "finished": "green", "stopped": "gray", "failed": "red", "interrupted": "orange",
}  # fmt: skip
ICONS = {
    "queued": ":material/schedule:", "running": ":material/play_arrow:", "paused": ":material/pause:", "finished": ":material/check:",
    "stopped": ":material/stop:", "failed": ":material/error:", "interrupted": ":material/link_off:",
}  # fmt: skip


def status_word(run: Run) -> str:
    if run.status == "queued" and run.position is not None:
        return t("status.queued_at", position=run.position)
    return t(f"status.{run.status}")


def status_badge(run: Run) -> None:
    st.badge(status_word(run), icon=ICONS[run.status], color=COLORS[run.status])


def display_names(runs: Sequence[Run]) -> list[str]:
    """Names for a legend: the network's, unless two runs share it; then the run's own name, or its id where that is shared too."""
    models, names = [run.model_name for run in runs], [run.name for run in runs]
    return [run.model_name if models.count(run.model_name) == 1 else run.name if names.count(run.name) == 1 else run.run for run in runs]


def show_error(run: Run) -> None:
    """The sentence that a failed run ended with."""
    if run.error is not None:
        st.error(f"**{literal(run.name)}** · {message_text(run.error[0], run.error[1])}", icon=":material/error:")
