"""The rows of trainings that a page draws: read once, then only what is new."""

import threading
from dataclasses import dataclass, field

import streamlit as st

from dashboard.loading import store
from resnet_core.runs import Run, Steps, read_steps


@dataclass
class _Gathered:
    """Steps of one run as read so far, shared by all sessions."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    steps: Steps | None = None


@st.cache_resource(max_entries=32, show_spinner=False)
def _gathered(root: str, run: str) -> _Gathered:
    return _Gathered()


def steps_of(run: Run) -> Steps:
    """All steps of a run; a long training costs a page only what is new since its last look."""
    shared = _gathered(str(store().root), run.run)
    with shared.lock:
        known = shared.steps
        if known is None or not len(known) or known.step[-1] > run.step:  # nothing yet, or it went back to an earlier state
            shared.steps = read_steps(store(), run.run)
        else:
            shared.steps = _joined(known, read_steps(store(), run.run, after=known.step[-1]))
        return shared.steps


def _joined(old: Steps, new: Steps) -> Steps:
    if not len(new):
        return old
    return Steps(
        step=old.step + new.step,
        epoch=old.epoch + new.epoch,
        loss=old.loss + new.loss,
        learning_rate=old.learning_rate + new.learning_rate,
        images_per_second=old.images_per_second + new.images_per_second,
        gradient_norms={part: values + new.gradient_norms.get(part, []) for part, values in old.gradient_norms.items()},
    )
