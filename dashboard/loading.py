"""Networks and images, opened once and shared: bounded caches keyed by what is on the disk.

A cached network is never handed out: whoever inspects gets a copy of its own, since hooks and modes on a shared one would mix sessions.
"""

import copy
import dataclasses
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

import streamlit as st
import torch
from torch import nn

from dashboard.memory import return_unused_pages
from resnet_core.comparison import data_at_size_of
from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import DATASETS, DataSpec, Split, data_root, load_split, normalize, some_images, spread, stand_in
from resnet_core.errors import UserError
from resnet_core.inspection import ENOUGH, SETTLED_ON, settle_norms
from resnet_core.models import block_places, build_model, get_entry, twin_config
from resnet_core.runs import Checkpoint, Store, find_checkpoint, initial_model, is_drawn, load_model, run_of, runs_root, shipped_names

IDLE_LOAD = 0.7  # processes that wanted a core in the last minute, on average


@st.cache_resource(max_entries=4, show_spinner=False)
def _store(root: str) -> Store:
    return_unused_pages()  # every page comes by here, and by now torch is loaded
    return Store(Path(root))


def store() -> Store:
    return _store(str(runs_root().absolute()))


def open_checkpoint(name: str) -> Checkpoint:
    """The description of a shipped checkpoint, a run or `RUN@best`; raises UserError when it is not there or damaged."""
    return find_checkpoint(name, store=store())


def file_state(checkpoint: Checkpoint) -> tuple[str, float]:
    """What a cache about a checkpoint is keyed by: its file and when it was last written."""
    return str(checkpoint.path), checkpoint.path.stat().st_mtime


@cache
def leave_cores_to_trainings() -> int:
    """Half of the cores, at most 4, for what pages compute; returns how many. Threads that wait for each other on cores that a training keeps busy
    are slower than one thread alone: ResNet-20's strip took 16 s with two threads and 0.9 s with one, beside a training on 2 cores.
    """
    few = max(1, min(4, torch.get_num_threads() // 2))
    torch.set_num_threads(few)
    return few


@contextmanager
def _threads(count: int) -> Iterator[None]:
    few = leave_cores_to_trainings()  # and not how many there are now: another session may be in here
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(few)


def one_core() -> AbstractContextManager[None]:
    """For what is to be told apart from how busy the machine is."""
    return _threads(1)


def idle_cores() -> AbstractContextManager[None]:
    """All cores for a measurement that somebody waits for, while nothing else on this machine wants them."""
    idle = hasattr(os, "getloadavg") and os.getloadavg()[0] < IDLE_LOAD
    return _threads((os.cpu_count() if idle else None) or leave_cores_to_trainings())


@st.cache_resource(max_entries=12, show_spinner=False)
def _shared_model(state: tuple[str, float], config: ModelConfig, initial: bool, _checkpoint: Checkpoint) -> nn.Module:
    leave_cores_to_trainings()
    return initial_model(_checkpoint) if initial else load_model(_checkpoint)


def own_model(checkpoint: Checkpoint, *, initial: bool = False) -> nn.Module:
    """A copy that the caller may hook and change, in eval mode; with `initial`, the network before its first step."""
    return copy.deepcopy(_shared_model(file_state(checkpoint), checkpoint.config.model, initial, checkpoint))


def settled_model(checkpoint: Checkpoint, inputs: torch.Tensor | None = None, *, initial: bool = False) -> nn.Module:
    """`own_model`; where its weights are random ones, its BatchNorms know some of these normalised images (N, C, H, W), else some of the
    test split."""
    model = own_model(checkpoint, initial=initial)
    if not is_drawn(checkpoint, initial=initial):
        return model
    return settle_norms(model, _some_inputs(checkpoint) if inputs is None or len(inputs) == 1 else inputs[spread(len(inputs), ENOUGH)])


def _some_inputs(checkpoint: Checkpoint) -> torch.Tensor:
    _, images = checkpoint_images(checkpoint, images_for(checkpoint), "test")
    return normalize(images.take(some_images(len(images), SETTLED_ON, 0)).images, checkpoint.spec)


def require_whole(checkpoint: Checkpoint) -> None:
    """Raises checkpoint_damaged unless the weights can be opened; they are kept for `own_model`."""
    _shared_model(file_state(checkpoint), checkpoint.config.model, False, checkpoint)


def has_blocks(checkpoint: Checkpoint) -> bool:
    return get_entry(checkpoint.model_name).capabilities(checkpoint.config.model, checkpoint.spec).has_blocks


def has_shortcuts(checkpoint: Checkpoint) -> bool:
    return get_entry(checkpoint.model_name).capabilities(checkpoint.config.model, checkpoint.spec).has_shortcuts


def is_known(name: str) -> bool:
    """Whether it is a shipped network or a run, perhaps with one of its checkpoints: what a link may open, unlike other files here."""
    run = run_of(name)
    return run in shipped_names() or store().exists(run)


def find_twin(checkpoint: Checkpoint) -> Checkpoint | None:
    """The trained network that differs in nothing but its shortcuts: of the same experiment, else a shipped one, else the newest run's."""
    model, run = twin_config(checkpoint.config.model), run_of(checkpoint.name)
    runs = store().runs()
    pair = next((r.pair for r in runs if r.run == run), None)
    alike = [r for r in runs if r.config.model == model]
    own = [r.run for r in alike if pair is not None and r.pair == pair]
    for name in dict.fromkeys([*own, *shipped_names(), *(r.run for r in alike)]):
        try:
            found = open_checkpoint(name)
            if found.config.model == model and found.spec == checkpoint.spec:
                require_whole(found)
                return found
        except UserError:  # it has no weights yet, or is damaged: the pages that show it say so
            continue
    return None


def block_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Paths of all blocks in the order of the forward pass; empty for a network without blocks."""
    return _block_names(file_state(checkpoint), checkpoint)


@st.cache_data(max_entries=64, show_spinner=False)
def _block_names(state: tuple[str, float], _checkpoint: Checkpoint) -> tuple[str, ...]:
    model = build_model(_checkpoint.config.model, _checkpoint.spec, seed=None, device="meta")
    return tuple(place.name for place in block_places(model))


def images_for(checkpoint: Checkpoint) -> str:
    """The data set to show a checkpoint on: its own, or the one that stands in for it when its own is not on this machine."""
    own = checkpoint.config.data.dataset
    other = stand_in(own, channels=checkpoint.spec.channels)
    return own if other is None or (own in DATASETS and DATASETS[own].is_present(data_root())) else other


@st.cache_resource(max_entries=4, show_spinner=False)
def split_images(dataset: str, split: str, image_size: int | None = None) -> tuple[DataSpec, Split]:
    """One split as read-only tensors, shared by all sessions."""
    return load_split(DataConfig(dataset=dataset, image_size=image_size), split)


def checkpoint_images(checkpoint: Checkpoint, dataset: str, split: str) -> tuple[DataSpec, Split]:
    """One split as the checkpoint's own training cut and resized it; another data set is brought to the network's size."""
    config = dataclasses.replace(checkpoint.config.data, dataset=dataset)
    if split == "test":  # never cut: one copy for all networks
        config = DataConfig(dataset=dataset, image_size=config.image_size)
    if dataset not in (checkpoint.config.data.dataset, stand_in(checkpoint.config.data.dataset)):
        config = dataclasses.replace(config, image_size=checkpoint.spec.height)
    return _cut_images(config, split)


def labelled_images(checkpoint: Checkpoint, dataset: str, split: str) -> tuple[DataSpec, Split]:
    """`checkpoint_images` whose labels this network can be asked about; raises checkpoint_classes where it knows more or fewer classes."""
    spec, images = checkpoint_images(checkpoint, dataset, split)
    if len(spec.classes) != len(checkpoint.spec.classes):
        have, need = len(checkpoint.spec.classes), len(spec.classes)
        raise UserError("checkpoint_classes", name=checkpoint.name, have=have, dataset=dataset, need=need)
    return spec, images


def images_beside(checkpoint: Checkpoint, other: Checkpoint, dataset: str, split: str) -> Split:
    """The images of `checkpoint_images(checkpoint, ...)` in the same order, at the size of another network."""
    spec, images = checkpoint_images(checkpoint, dataset, split)
    if (spec.height, spec.width) == (other.spec.height, other.spec.width):
        return images
    config = dataclasses.replace(checkpoint.config.data, dataset=dataset)
    return _cut_images(data_at_size_of(other, config), split)[1]


@st.cache_resource(max_entries=4, show_spinner=False)
def _cut_images(config: DataConfig, split: str) -> tuple[DataSpec, Split]:
    return load_split(config, split)
