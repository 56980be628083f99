"""The form in the link: a reload keeps it, and whoever gets the link finds the same training. Folders and files of a machine stand in no link."""

from collections.abc import Callable, Iterator, Sequence
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

FOLLOWED = "train_link_followed"
DATA, NETWORKS, RECIPE, SET = "data", "networks", "recipe", "set"
SETTINGS = tuple(name for part in PARTS.values() for name in part.settings() if name not in ("dataset", "model"))


def follow_form_link(datasets: Sequence[str]) -> None:
    """Once in a session, before the form is drawn: it begins as the link says. What of it cannot be is said, and left out."""
    if st.session_state.get(FOLLOWED):
        return
    st.session_state[FOLLOWED] = True
    for part in (_follow_networks, lambda: _follow_data(datasets), _follow_recipe):
        _or_said(part)
    for text in st.query_params.get_all(SET):
        _or_said(lambda text=text: _follow_setting(text))  # type: ignore[misc]


def write_form_link(usual_dataset: str, usual_networks: Sequence[str]) -> None:
    """After the form is drawn: what in it differs from an untouched one."""
    state = st.session_state
    networks = state["train_models"]
    _write(DATA, [state["train_dataset"]] if state["train_dataset"] != usual_dataset else [])
    recipe = state[CHOSEN] != DEFAULTS  # brings a network of its own, unless the link names some
    _write(NETWORKS, [",".join(networks)] if networks and (recipe or networks != list(usual_networks)) else [])
    _write(RECIPE, [state[CHOSEN]] if recipe else [])
    _write(SET, list(_changes()))


def _changes() -> Iterator[str]:
    own = recipe_values(st.session_state[CHOSEN], st.session_state["train_dataset"], st.session_state["train_models"])
    for name in SETTINGS:
        value = st.session_state.get(f"train_{name}")
        if value == as_widget_value(name, own[name]) or (name == "start_from" and not _is_public(value)):
            continue
        yield f"{name}={'none' if value in (None, '') else value}"


def _write(parameter: str, values: list[str]) -> None:
    if st.query_params.get_all(parameter) != values:
        st.query_params[parameter] = values


def _or_said(follow: Callable[[], None]) -> None:
    try:
        follow()
    except UserError as error:
        st.toast(error_text(error), icon=":material/warning:", duration="infinite")


def _follow_networks() -> None:
    if asked := st.query_params.get(NETWORKS):
        st.session_state["train_models"] = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))


def _follow_data(datasets: Sequence[str]) -> None:
    asked = st.query_params.get(DATA)
    if asked is None:
        st.session_state.setdefault("train_dataset", datasets[0])
        return
    if asked not in datasets:
        raise UserError("unknown_name", field="dataset", what="data set", value=asked, hint=nearest(asked, datasets))
    st.session_state["train_dataset"] = asked


def _follow_recipe() -> None:
    asked = st.query_params.get(RECIPE)
    if asked is None:
        return
    preset = get_preset(asked)
    st.session_state[CHOSEN] = preset.name
    networks = st.session_state.setdefault("train_models", [preset.config().model.model])
    for name, value in recipe_values(preset.name, st.session_state["train_dataset"], networks).items():
        st.session_state[f"train_{name}"] = as_widget_value(name, value)


def _follow_setting(text: str) -> None:
    name, _, value = text.partition("=")
    if name not in SETTINGS:
        raise UserError("unknown_setting", value=name, hint=nearest(name, SETTINGS))
    if name == "start_from" and not _is_public(value):
        raise UserError("link_opens_no_files", value=value)
    parsed: Any = RunConfig.from_flat({name: value}).flat()[name]
    st.session_state[f"train_{name}"] = as_widget_value(name, parsed)


def _is_public(start: str | None) -> bool:
    """Whether the weights have a name that means the same wherever the link is opened, or here after a reload."""
    return start in (None, "", "none", PRETRAINED) or is_known(start)
