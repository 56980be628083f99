"""The form in the link: a reload keeps it, and whoever gets the link finds the same training. Folders and files of a machine stand in no link."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components.training.recipe import CHOSEN, DEFAULTS, recipe_values
from dashboard.components.training.transfer import PRETRAINED
from dashboard.forms import as_widget_value
from dashboard.i18n import error_text
from dashboard.loading import is_known
from resnet_core.config import PARTS, RunConfig
from resnet_core.errors import UserError, nearest
from resnet_core.presets import get_preset
from resnet_core.runs import shipped_names
from resnet_core.runs.files import is_file
from resnet_core.training import pick_device

FOLLOWED = "train_link_followed"
DATA, NETWORKS, RECIPE, SET = "data", "networks", "recipe", "set"
SETTINGS = tuple(name for part in PARTS.values() for name in part.settings() if name not in ("dataset", "model"))
OF_THIS_MACHINE = "(file)"  # in the place of a path
LONGEST = 200  # letters of one setting
MOST_SAID = 5  # things that a link asks for in vain


def follow_form_link(datasets: Sequence[str]) -> None:
    """Once in a session, before the form is drawn: it begins as the link says. What of it cannot be is said, and left out."""
    if st.session_state.get(FOLLOWED):
        return
    st.session_state[FOLLOWED] = True
    st.session_state.setdefault("train_dataset", datasets[0])
    asked = st.query_params
    steps: list[tuple[Callable[..., None], tuple[Any, ...]]] = [(_follow_networks, (text,)) for text in asked.get_all(NETWORKS)[:1]]
    steps += [(_follow_data, (text, datasets)) for text in asked.get_all(DATA)[:1]]
    steps += [(_follow_recipe, (text,)) for text in asked.get_all(RECIPE)[:1]]
    steps += [(_follow_setting, (text[:LONGEST],)) for text in asked.get_all(SET)]
    said = []
    for follow, arguments in steps:
        try:
            follow(*arguments)
        except UserError as error:
            said.append(error_text(error))
    if said:
        st.toast("\n\n".join(said[:MOST_SAID]), icon=":material/warning:", duration="infinite")


def write_form_link(usual_dataset: str, usual_networks: Sequence[str]) -> None:
    """After the form is drawn: what in it differs from an untouched one. All at once, so that the browser keeps one address per change."""
    state = st.session_state
    networks, recipe = state["train_models"], state[CHOSEN] != DEFAULTS  # which brings a network of its own, unless the link names some
    wanted = {
        DATA: [state["train_dataset"]] if state["train_dataset"] != usual_dataset else [],
        NETWORKS: [",".join(networks)] if networks and (recipe or networks != list(usual_networks)) else [],
        RECIPE: [state[CHOSEN]] if recipe else [],
        SET: list(_changes()),
    }
    now = {name: st.query_params.get_all(name) for name in st.query_params}
    if any(now.get(name, []) != values for name, values in wanted.items()):
        st.query_params.from_dict({name: values for name, values in {**now, **wanted}.items() if values})


def _changes() -> Iterator[str]:
    own = recipe_values(st.session_state[CHOSEN], st.session_state["train_dataset"], st.session_state["train_models"])
    for name in SETTINGS:
        value = st.session_state.get(f"train_{name}")
        if value == as_widget_value(name, own[name]):
            continue
        if name == "start_from":
            value = None if not value else value if value == PRETRAINED or is_known(value) else OF_THIS_MACHINE
        yield f"{name}={'none' if value is None else value}"


def _follow_networks(text: str) -> None:
    if names := list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip())):
        st.session_state["train_models"] = names


def _follow_data(name: str, datasets: Sequence[str]) -> None:
    if name not in datasets:
        raise UserError("unknown_name", field="dataset", what="data set", value=name, hint=nearest(name, datasets))
    st.session_state["train_dataset"] = name


def _follow_recipe(name: str) -> None:
    preset = get_preset(name)
    networks = st.session_state.setdefault("train_models", [preset.config().model.model])
    values = recipe_values(preset.name, st.session_state["train_dataset"], networks)
    st.session_state[CHOSEN] = preset.name
    for setting, value in values.items():
        st.session_state[f"train_{setting}"] = as_widget_value(setting, value)


def _follow_setting(text: str) -> None:
    name, _, value = text.partition("=")
    if name not in SETTINGS:
        raise UserError("unknown_setting", value=name, hint=nearest(name, SETTINGS))
    if name == "start_from":
        _require_weights(value)
    if name == "device":
        pick_device(value)
    parsed: Any = RunConfig.from_flat({name: value}).flat()[name]
    st.session_state[f"train_{name}"] = as_widget_value(name, parsed)


def _require_weights(start: str) -> None:
    """Weights that have a name; what a link says of others would be a path on somebody's machine."""
    if start in ("", "none", PRETRAINED) or is_known(start):
        return
    if start == OF_THIS_MACHINE:
        raise UserError("link_without_file", field="start_from")
    if is_file(Path(start)):
        raise UserError("link_opens_no_files", value=start)
    raise UserError("checkpoint_missing", value=start, hint=nearest(start, shipped_names()))
