"""Another page fills in the Train page's form: a training from a network's weights, or one like an earlier run."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.forms import as_widget_value
from resnet_core.config import RunConfig
from resnet_core.runs import Checkpoint

FOLDER = "image-folder"


def prefill_training(start: Checkpoint, *, dataset: str, **settings: Any) -> None:
    """The same network from these weights on another data set; every other setting at its default, unless given."""
    config = RunConfig(model=start.config.model)
    _fill({**config.flat(), "image_size": start.config.data.image_size, "start_from": start.name, **settings}, start.model_name, dataset)


def prefill_again(config: RunConfig) -> None:
    """A training with all the settings of an earlier one; the device is chosen anew, since the run may come from another machine."""
    _fill({**config.flat(), "device": "auto"}, config.model.model, config.data.dataset)


def _fill(values: Mapping[str, Any], model: str, dataset: str) -> None:
    for name, value in values.items():
        if name not in ("dataset", "model"):
            st.session_state[f"train_{name}"] = as_widget_value(name, value)
    kind, _, place = dataset.partition(":")
    st.session_state["train_dataset"] = dataset
    if kind == FOLDER:
        st.session_state["train_dataset"], st.session_state["train_folder"] = kind, place
    st.session_state["train_models"] = [model]
    st.session_state["train_preset"] = "defaults"
