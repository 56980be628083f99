"""What is to be trained: data, networks, recipe; every other setting behind one button."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from dashboard.charts.curves import sparkline
from dashboard.components.downloads import offer_download
from dashboard.components.formats import device_words, duration
from dashboard.components.training.finder import rate_finder
from dashboard.components.training.link import follow_form_link, write_form_link
from dashboard.components.training.pictures import augmented_pictures
from dashboard.components.training.prefill import FOLDER
from dashboard.components.training.recipe import follow_networks, recipe_changes, recipe_choice
from dashboard.components.training.transfer import start_choice, transfer_words
from dashboard.components.vega import show_vega
from dashboard.forms import setting_widget, settings_form
from dashboard.i18n import error_text, t
from dashboard.loading import one_core, store
from resnet_core.config import PARTS, ModelConfig, RunConfig, TrainConfig
from resnet_core.data import DATASETS, DataSpec, data_root, dataset_status, get_dataset, load_spec, training_images
from resnet_core.data.sketches import ALONE, TOGETHER, sketches
from resnet_core.errors import UserError
from resnet_core.fitness import warnings_for
from resnet_core.models import build_model, count_parameters, fitting, get_entry, model_names, twin_name
from resnet_core.runs.estimates import expected_speed
from resnet_core.training import (
    available_devices,
    device_memory,
    device_name,
    pick_device,
    require_candidates,
    schedule_curve,
    steps_per_epoch,
)
from resnet_core.training.team import require_shares
from resnet_core.training.trial import guessed_speed

GIGABYTE = 2**30
MOST_STEPS = 2000  # of a schedule's curve: more cannot be seen
FIRST_CHOICE = ("resnet20", "plain20")
SHOWN = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule", "seed")  # the rest is behind "more settings"
TRANSFER = ("freeze_epochs", "unfreeze_learning_rate", "freeze_statistics")
GROUPS = {
    "data": ("valid_fraction", "train_limit", "image_size", "split_seed"),
    "model": tuple(name for name in PARTS["model"].settings() if name != "model"),
    "augment": tuple(PARTS["augment"].settings()),
    "transfer": TRANSFER,
    "train": tuple(name for name in PARTS["train"].settings() if name not in (*SHOWN, *TRANSFER, "device", "start_from")),
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the form says: one config per network, or nothing while something is wrong or missing (then that is shown)."""

    configs: tuple[RunConfig, ...]
    time: DeltaGenerator | None = None  # where `show_time` says how long it will take


def training_form() -> Wish:
    """The form in its column; the schedule's curve and the costs below it."""
    datasets = _datasets()
    follow_form_link([*datasets])
    dataset = _dataset_choice(datasets)
    models = _network_choice(dataset)
    recipe_choice(dataset)
    values: dict[str, Any] = settings_form(SHOWN, "train", {}, columns=2)
    values["device"] = setting_widget("device", "train_device", options=("auto", *available_devices()))
    devices = _machine(values["device"])
    with st.popover(t("train.more"), icon=":material/tune:", width="stretch"):
        for group, names in GROUPS.items():
            st.markdown(f"**{t(f'train.group_{group}')}**")
            if group == "transfer":
                values["start_from"] = start_choice()
            values |= settings_form(names, "train", {}, columns=3)
    write_form_link(next(iter(datasets)), FIRST_CHOICE)
    if values["processes"] == 1:
        values["processes"] = devices
    changes = st.container()  # below all widgets: they would move while they are used
    missing = "train.no_network" if not models else "train.no_folder" if dataset == f"{FOLDER}:" else None
    if missing is not None:
        st.caption(t(missing))
        return Wish(configs=())
    if any(_unknown(model) is not None for model in models):  # said below their names
        return Wish(configs=())
    try:
        configs = tuple(_config({**values, "dataset": dataset, "model": model}) for model in models)
        with changes:
            recipe_changes(configs)
        if not _are_shared(configs[0].train):
            return Wish(configs=())
        if dataset in DATASETS and not get_dataset(dataset).is_present(data_root()):
            offer_download(dataset, get_dataset(dataset).download_bytes)
            return Wish(configs=())
        time = _costs(configs)
        rate_finder(configs[0])
        augmented_pictures(configs[0])
    except UserError as error:
        if error.field not in SHOWN:  # where it is said already
            st.error(error_text(error), icon=":material/error:")
        return Wish(configs=())
    return Wish(configs=configs, time=time)


def show_time(wish: Wish) -> None:
    """After all else is drawn: of a network that was never trained here a few steps are tried."""
    if wish.time is None:
        return
    first = wish.configs[0]
    spec, device, runs = load_spec(first.data), pick_device(first.train.device).type, store().runs()
    known = [expected_speed(config, device, runs) for config in wish.configs]
    can_try = device == "cpu" and not any(run.is_active for run in runs)  # beside a training a step takes as long as it lets it
    speeds = [speed or (_guessed_speed(config.model, spec) if can_try else None) for speed, config in zip(known, wish.configs, strict=True)]
    if all(speeds):
        seconds = sum(training_images(first.data) * first.train.epochs / speed for speed in speeds if speed)
        if all(known):
            wish.time.caption(t("train.cost_time", time=duration(seconds)))
        else:
            unit = 10 if seconds < 60 else 60 if seconds < 3600 else 1800  # a guess is worth no more digits
            wish.time.caption(t("train.cost_time_guessed", time=duration(unit * math.ceil(seconds / unit))))


@st.cache_data(max_entries=64, show_spinner=False)
def _guessed_speed(config: ModelConfig, spec: DataSpec) -> float | None:
    with one_core():
        return guessed_speed(
            build_model(config, spec), (spec.channels, spec.height, spec.width), len(spec.classes), cores=os.cpu_count() or 1
        )


def _config(values: Mapping[str, Any]) -> RunConfig:
    """The run of one network; settings of others that mean nothing to it are left at their defaults."""
    config = RunConfig.from_flat(values)
    require_candidates(pick_device(config.train.device), config.train)
    return replace(config, model=fitting(config.model))


def _are_shared(train: TrainConfig) -> bool:
    """Whether every process gets images enough, and if not, what to change."""
    try:
        require_shares(train.batch_size, train.processes)
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return False
    return True


def _machine(choice: str) -> int:
    """Which device that is here and how much of its memory is taken; on how many at once to train, all of them unless told otherwise."""
    device = pick_device(choice)
    used, total = device_memory(device)
    st.caption(t("train.machine", device=device_words(device_name(device)), used=used / GIGABYTE, total=total / GIGABYTE))
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    together = count > 1 and st.toggle(t("train.all_gpus", count=count), value=True, key="train_all_gpus", persist_state="session")
    return count if together else 1


def _datasets() -> dict[str, bool]:
    """Those that one can train on, and whether they are on this machine."""
    present = {status.name: status.present for status in dataset_status() if status.train}
    return present | dict.fromkeys([*((TOGETHER, ALONE) if sketches() else ()), FOLDER], True)


def _dataset_choice(present: Mapping[str, bool]) -> str:
    def label(name: str) -> str:
        return name if present[name] else t("train.dataset_absent", name=name)

    chosen = st.selectbox(
        t("setting.dataset.label"),
        [*present],
        format_func=label,
        key="train_dataset",
        help=t("setting.dataset.help"),
        persist_state="session",
    )
    if chosen != FOLDER:
        return chosen
    path = st.text_input(
        t("train.folder"), key="train_folder", placeholder="/data/flowers", help=t("train.folder_help"), persist_state="session"
    )
    return f"{FOLDER}:{path.strip()}"


def _network_choice(dataset: str) -> list[str]:
    if "train_models" not in st.session_state:
        st.session_state["train_models"] = list(FIRST_CHOICE)
    chosen = st.multiselect(
        t("train.networks"),
        _sorted(model_names()),
        key="train_models",
        help=t("train.networks_help"),
        accept_new_options=True,
        select_all=False,
        on_change=follow_networks,
        args=(dataset,),
        persist_state="session",
    )
    with st.container():
        for name in chosen:
            if (error := _unknown(name)) is not None:
                st.error(error_text(error), icon=":material/error:")
        if len(chosen) == 1 and (twin := _known_twin(chosen[0])):
            st.button(t("train.add_twin", twin=twin), key="train_add_twin", icon=":material/add:", on_click=_add_network, args=(twin,))
    return chosen


def _unknown(name: str) -> UserError | None:
    try:
        get_entry(name)
    except UserError as error:
        return error
    return None


def _known_twin(name: str) -> str | None:
    try:
        return twin_name(name)
    except UserError:
        return None


def _add_network(name: str) -> None:
    st.session_state["train_models"] = [*st.session_state["train_models"], name]


def _sorted(names: tuple[str, ...]) -> list[str]:
    """ResNets by depth, each before its twin; then the wider family by name."""

    def place(name: str) -> tuple[bool, int, bool, str]:
        entry = get_entry(name)
        return entry.twin is None, entry.depth if entry.twin else 0, entry.family == "plain", name

    return sorted(names, key=place)


def _costs(configs: tuple[RunConfig, ...]) -> DeltaGenerator:
    """Size, images, a place for the expected time, and the schedule, before anything is started."""
    first = configs[0]
    spec = load_spec(first.data)
    parameters = " / ".join(f"{_parameters(config.model, spec):,}" for config in configs)
    lines = [t("train.cost_parameters", parameters=parameters)]
    images, per_epoch = training_images(first.data), steps_per_epoch(training_images(first.data), first.train.batch_size)
    lines.append(t("train.cost_images", images=f"{images:,}", steps=f"{per_epoch:,}", total=f"{per_epoch * first.train.epochs:,}"))
    st.caption("  \n".join([*lines, *transfer_words(configs, spec)]))
    time = st.empty()
    with st.container():
        for code in dict.fromkeys(code for config in configs for code in warnings_for(config, spec)):
            st.warning(t(f"warning.{code}"), icon=":material/warning:")
    curve = _schedule(first.train, min(per_epoch, max(MOST_STEPS // first.train.epochs, 1)))
    end = max(per_epoch * first.train.epochs - 1, 1)
    chart = sparkline(curve, x_title=t("axis.step"), y_title=t("axis.learning_rate"), x_end=end)
    show_vega(chart, key="train_schedule", alt=t("train.schedule_alt"))
    st.caption(t("train.schedule_read_plateau" if first.train.schedule == "plateau" else "train.schedule_read"))
    return time


@st.cache_data(max_entries=64, show_spinner=False)
def _parameters(config: ModelConfig, spec: DataSpec) -> int:
    return count_parameters(config, spec)


@st.cache_data(max_entries=64, show_spinner=False)
def _schedule(config: TrainConfig, per_epoch: int) -> list[float]:
    return schedule_curve(config, per_epoch).tolist()
