"""Fetching a data set while the page stays usable: one download per data set for the whole server, watched by any session."""

import threading
from dataclasses import dataclass, field

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.i18n import error_text, t
from resnet_core.data import fetch
from resnet_core.errors import UserError

MEGABYTE = 1e6


@dataclass
class _Download:
    """What the thread tells: bytes so far, bytes in all, and how it ended."""

    done: int = 0
    total: int | None = None
    error: UserError | None = None
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def start(self, name: str) -> None:
        with self.lock:
            if self.is_running:
                return
            self.error, self.done = None, 0
            self.thread = threading.Thread(target=self._fetch, args=(name,), daemon=True)
            self.thread.start()

    def _fetch(self, name: str) -> None:
        try:
            fetch(name, progress=self._progress)
        except UserError as error:
            self.error = error

    def _progress(self, done: int, total: int | None) -> None:
        self.done, self.total = done, total


@st.cache_resource(max_entries=16, show_spinner=False)
def _download(name: str) -> _Download:
    return _Download()


def offer_download(name: str, size: int | None) -> None:
    """A button that fetches the data set, a progress bar while it comes, the reason when it could not."""
    download = _download(name)

    watched = download.is_running

    @st.fragment(run_every=1.0 if watched else None)
    def panel() -> None:
        with guarded():
            if download.is_running:
                total = download.total or size or 1
                text = t("train.downloading", name=name, done=download.done / MEGABYTE, total=total / MEGABYTE)
                st.progress(min(download.done / total, 1.0), text=text)
                return
            if watched:  # it has just ended
                st.rerun()
            if download.error is not None:
                st.error(error_text(download.error), icon=":material/cloud_off:")
            label = t("train.download", name=name, size=(size or 0) / MEGABYTE)
            if st.button(label, icon=":material/download:", key="train_download", width="stretch"):
                download.start(name)
                st.rerun()

    panel()
