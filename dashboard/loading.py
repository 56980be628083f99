"""Networks and images, opened once and shared: bounded caches keyed by what is on the disk.

A cached network is never handed out: whoever inspects gets a copy of its own, since hooks and modes on a shared one would mix sessions.
"""

import copy
from pathlib import Path

import streamlit as st
from torch import nn

from resnet_core.config import DataConfig
from resnet_core.data import DATASETS, DataSpec, Split, data_root, load_split
from resnet_core.runs import Checkpoint, Store, find_checkpoint, initial_model, load_model

STAND_INS = {"mnist": "mnist-mini"}  # same official test images, always here


@st.cache_resource(max_entries=4, show_spinner=False)
def _store(root: str) -> Store:
    return Store(Path(root))


def store() -> Store:
    from resnet_core.runs import runs_root

    return _store(str(runs_root().absolute()))


def open_checkpoint(name: str) -> Checkpoint:
    """The description of a shipped checkpoint, a run or `RUN@best`; raises UserError when it is not there or damaged."""
    return find_checkpoint(name, store=store())


def file_state(checkpoint: Checkpoint) -> tuple[str, float]:
    """What a cache about a checkpoint is keyed by: its file and when it was last written."""
    return str(checkpoint.path), checkpoint.path.stat().st_mtime


@st.cache_resource(max_entries=12, show_spinner=False)
def _shared_model(state: tuple[str, float], initial: bool, _checkpoint: Checkpoint) -> nn.Module:
    return initial_model(_checkpoint) if initial else load_model(_checkpoint)


def own_model(checkpoint: Checkpoint, *, initial: bool = False) -> nn.Module:
    """A copy that the caller may hook and change, in eval mode; with `initial`, the network before its first step."""
    return copy.deepcopy(_shared_model(file_state(checkpoint), initial, checkpoint))


def images_for(checkpoint: Checkpoint) -> str:
    """The data set to show a checkpoint on: its own, or one that has the same test images when its own is not on this machine."""
    own = checkpoint.config.data.dataset
    if own in STAND_INS and not DATASETS[own].is_present(data_root()):
        return STAND_INS[own]
    return own


@st.cache_resource(max_entries=4, show_spinner=False)
def split_images(dataset: str, split: str, image_size: int | None = None) -> tuple[DataSpec, Split]:
    """One split as read-only tensors, shared by all sessions."""
    return load_split(DataConfig(dataset=dataset, image_size=image_size), split)
