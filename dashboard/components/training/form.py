"""What is to be trained: data, networks, recipe; every other setting behind one button."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.charts.curves import sparkline
from dashboard.components.downloads import offer_download
from dashboard.components.formats import duration
from dashboard.forms import setting_widget, settings_form
from dashboard.i18n import error_text, t
from dashboard.loading import store
from resnet_core.config import PARTS, ModelConfig, RunConfig, TrainConfig
from resnet_core.data import DATASETS, DataSpec, augment_warnings, data_root, dataset_status, get_dataset, load_spec
from resnet_core.errors import UserError
from resnet_core.models import count_parameters, get_entry, model_names, twin_name
from resnet_core.runs.estimates import expected_speed
from resnet_core.training import available_devices, device_memory, device_name, pick_device, schedule_curve, steps_per_epoch

FOLDER = "image-folder"
GIGABYTE = 2**30
MOST_STEPS = 2000  # of a schedule's curve: more cannot be seen
FIRST_CHOICE = ("resnet20", "plain20")
SHOWN = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule", "seed")  # the rest is behind "more settings"
GROUPS = {
    "data": ("valid_fraction", "train_limit", "image_size", "split_seed"),
    "model": tuple(name for name in PARTS["model"].settings() if name != "model"),
    "augment": tuple(PARTS["augment"].settings()),
    "train": tuple(name for name in PARTS["train"].settings() if name not in (*SHOWN, "device")),
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the form says: one config per network, or nothing while something is wrong or missing (then that is shown)."""

    configs: tuple[RunConfig, ...]


def training_form() -> Wish:
    """The form in its column; the schedule's curve and the costs below it."""
    dataset = _dataset_choice()
    models = _network_choice()
    values: dict[str, Any] = settings_form(SHOWN, "train", {}, columns=2)
    values["device"] = setting_widget("device", "train_device", options=("auto", *available_devices()))
    _machine(values["device"])
    with st.popover(t("train.more"), icon=":material/tune:", width="stretch"):
        for group, names in GROUPS.items():
            st.markdown(f"**{t(f'train.group_{group}')}**")
            values |= settings_form(names, "train", {}, columns=3)
    if not models:
        st.caption(t("train.no_network"))
        return Wish(configs=())
    try:
        configs = tuple(RunConfig.from_flat({**values, "dataset": dataset, "model": model}) for model in models)
        for model in models:
            get_entry(model)
        if dataset in DATASETS and not get_dataset(dataset).is_present(data_root()):
            offer_download(dataset, get_dataset(dataset).download_bytes)
            return Wish(configs=())
        _costs(configs)
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return Wish(configs=())
    return Wish(configs=configs)


def _machine(choice: str) -> None:
    """Which device that is here, and how much of its memory is taken."""
    device = pick_device(choice)
    used, total = device_memory(device)
    st.caption(t("train.machine", device=device_name(device), used=used / GIGABYTE, total=total / GIGABYTE))


def _dataset_choice() -> str:
    present = {status.name: status.present for status in dataset_status() if status.train}
    options = [*present, FOLDER]

    def label(name: str) -> str:
        return name if present.get(name, True) else t("train.dataset_absent", name=name)

    chosen = st.selectbox(
        t("setting.dataset.label"), options, format_func=label, key="train_dataset", help=t("setting.dataset.help"), persist_state="session"
    )
    if chosen != FOLDER:
        return chosen
    path = st.text_input(
        t("train.folder"), key="train_folder", placeholder="/data/flowers", help=t("train.folder_help"), persist_state="session"
    )
    return f"{FOLDER}:{path.strip()}"


def _network_choice() -> list[str]:
    chosen = st.multiselect(
        t("train.networks"),
        _sorted(model_names()),
        default=list(FIRST_CHOICE),
        key="train_models",
        help=t("train.networks_help"),
        accept_new_options=True,
        persist_state="session",
    )
    if len(chosen) == 1 and (twin := _known_twin(chosen[0])):
        st.button(t("train.add_twin", twin=twin), key="train_add_twin", icon=":material/add:", on_click=_add_network, args=(twin,))
    return chosen


def _known_twin(name: str) -> str | None:
    try:
        return twin_name(name)
    except UserError:
        return None


def _add_network(name: str) -> None:
    st.session_state["train_models"] = [*st.session_state["train_models"], name]


def _sorted(names: tuple[str, ...]) -> list[str]:
    """By depth, each ResNet before its twin."""
    return sorted(names, key=lambda name: (get_entry(name).depth, not name.startswith("resnet")))


def _costs(configs: tuple[RunConfig, ...]) -> None:
    """Size, images, expected time and the schedule, before anything is started."""
    first = configs[0]
    spec = load_spec(first.data)
    parameters = " / ".join(f"{_parameters(config.model, spec):,}" for config in configs)
    lines = [t("train.cost_parameters", parameters=parameters)]
    images = _training_images(first)
    if images:
        device = pick_device(first.train.device).type
        speeds = [expected_speed(config, device, store().runs()) for config in configs]
        lines.append(t("train.cost_images", images=f"{images:,}", steps=steps_per_epoch(images, first.train.batch_size)))
        if all(speeds):
            seconds = sum(images * first.train.epochs / speed for speed in speeds if speed)
            lines.append(t("train.cost_time", time=duration(seconds)))
    st.caption("  \n".join(lines))
    for code in augment_warnings(first.augment, spec):
        st.warning(t(f"warning.{code}"), icon=":material/warning:")
    per_epoch = steps_per_epoch(images, first.train.batch_size) if images else 100
    curve = _schedule(first.train, min(per_epoch, max(MOST_STEPS // first.train.epochs, 1)))
    chart = sparkline(curve, x_title=t("axis.step"), y_title=t("axis.learning_rate"))
    st.altair_chart(chart, key="train_schedule", width="stretch", alt=t("train.schedule_alt"))


@st.cache_data(max_entries=64, show_spinner=False)
def _parameters(config: ModelConfig, spec: DataSpec) -> int:
    return count_parameters(config, spec)


@st.cache_data(max_entries=64, show_spinner=False)
def _schedule(config: TrainConfig, per_epoch: int) -> list[float]:
    return schedule_curve(config, per_epoch).tolist()


def _training_images(config: RunConfig) -> int | None:
    """How many images an epoch sees; None for a folder, which is counted when it is opened."""
    entry = DATASETS.get(config.data.dataset)
    if entry is None:
        return None
    images = entry.train - round(entry.train * config.data.valid_fraction)
    return images if config.data.train_limit is None else min(images, config.data.train_limit)
