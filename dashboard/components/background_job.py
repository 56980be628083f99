"""A measurement that takes longer than a page should wait: in a thread, with its cost said before, progress, and a way to stop it.

Its result is kept for all sessions, so it is measured once; whoever leaves the page finds it finished later.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.components.formats import duration
from dashboard.i18n import error_text, t
from resnet_core.errors import UserError

Progress = Callable[[int, int], None]
Work = Callable[[Progress], Any]


class _Stopped(Exception):
    """The person does not want the result any more."""


_TURN = threading.Lock()  # one measurement at a time: several at once take each other's cores and memory, and the page's


@dataclass
class _Job:
    """What the thread tells: how far it is, and how it ended."""

    done: int = 0
    total: int = 1
    result: Any = None
    error: UserError | None = None  # of this program's own mistakes only the log knows more
    failed: bool = False
    began: float = 0.0  # its own work, after those before it
    thread: threading.Thread | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def start(self, work: Work) -> None:
        with self.lock:
            if self.is_running:
                return
            self.stopping.clear()
            self.done, self.total, self.error, self.failed = 0, 1, None, False
            self.thread = threading.Thread(target=self._run, args=(work,), name="measurement", daemon=True)
            self.thread.start()

    def _run(self, work: Work) -> None:
        try:
            while not _TURN.acquire(timeout=0.2):
                self._progress(0, 1)
            try:
                self.began = time.monotonic()
                self.result = work(self._progress)
            finally:
                _TURN.release()
        except _Stopped:
            pass
        except UserError as error:
            self.error = error
        except Exception:
            logging.getLogger(__name__).exception("a measurement failed")
            self.failed = True

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.stopping.is_set():
            raise _Stopped


@st.cache_resource(max_entries=32, show_spinner=False)
def _job(identity: tuple[Any, ...]) -> _Job:
    return _Job()


def finished_job(*identity: Any) -> Any | None:
    """The result, if it was measured already."""
    return _job(identity).result


def background_job(
    *identity: Any, prepare: Callable[[], Work], label: str, seconds: float, key: str, icon: str = ":material/play_arrow:"
) -> Any | None:
    """The result of this measurement, None before it is there. `identity` tells it from all others; `prepare` fetches, in the page,
    what the thread works with. Until then a button that says what it costs, then a progress bar with a button that stops it."""
    job = _job(identity)
    if job.result is not None and not job.is_running:
        return job.result

    watched = job.is_running

    @st.fragment(run_every=0.5 if watched else None)
    def panel() -> None:
        with guarded():
            if job.is_running:
                _show_progress(job, key)
                return
            if watched or job.result is not None:  # it has just ended, or did in another window
                st.rerun()
            if job.error is not None or job.failed:
                st.error(error_text(job.error) if job.error is not None else t("frame.unexpected"), icon=":material/error:")
            if st.button(t("lesion.start", what=label, time=duration(max(1, seconds))), icon=icon, key=key):
                job.start(prepare())
                st.rerun()

    panel()
    return None


def quiet_job(*identity: Any, prepare: Callable[[], Work]) -> Any | None:
    """The result of a measurement that starts by itself since a page works without it too; None before it is there, or where it failed."""
    job = _job(identity)
    if job.result is None and job.thread is None:
        job.start(prepare())
    return job.result


def job_over(*identity: Any) -> bool:
    """Whether it ended, with or without a result."""
    job = _job(identity)
    return job.thread is not None and not job.is_running


def _seconds_left(job: _Job, share: float) -> float | None:
    """At the speed so far; None while too little is done to tell."""
    took = time.monotonic() - job.began
    return took / share - took if share >= 0.05 and took >= 3 else None


def _show_progress(job: _Job, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        share = min(job.done / job.total, 1.0)
        left = _seconds_left(job, share)
        said = t("lesion.progress", share=share) if left is None else t("lesion.progress_left", share=share, time=duration(left))
        st.progress(share, text=said, width="stretch")
        if st.button(t("lesion.stop"), icon=":material/stop:", key=f"{key}_stop"):
            job.stopping.set()
