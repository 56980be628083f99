"""Another page fills in the Train page's form: a training that starts from a network's weights."""

from typing import Any

import streamlit as st

from dashboard.forms import as_widget_value
from resnet_core.config import PARTS
from resnet_core.runs import Checkpoint


def prefill_training(start: Checkpoint, *, dataset: str, **settings: Any) -> None:
    """The same network from these weights on another data set; every other setting at its default, unless given."""
    defaults: dict[str, Any] = {}
    for part, kind in PARTS.items():
        fields = vars(start.config.model) if part == "model" else vars(kind())
        defaults |= {name: fields[name] for name in kind.settings()}
    defaults |= {"image_size": start.config.data.image_size, "start_from": start.name, **settings}
    for name, value in defaults.items():
        if name not in ("dataset", "model"):
            st.session_state[f"train_{name}"] = as_widget_value(name, value)
    st.session_state["train_dataset"] = dataset
    st.session_state["train_models"] = [start.model_name]
    st.session_state["train_preset"] = "defaults"
