"""From a block's diagram to its activations and back."""

import streamlit as st

from dashboard.components.architectures.described import ORIGINAL
from dashboard.components.architectures.picker import SETTINGS, open_diagram
from dashboard.i18n import t
from dashboard.loading import store
from dashboard.navigation import SCREENS
from dashboard.state import select
from resnet_core.data import DataSpec
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint, find_checkpoint, shipped_names


def activations_link(model: str, block: str, *, key: str) -> None:
    """To the Residual blocks page, where a trained network of this kind is here."""
    run = _trained(model)
    if run is not None and block.startswith("stages."):
        st.button(
            t("architectures.to_activations"),
            icon=SCREENS["residual-blocks"].icon,
            key=key,
            on_click=_choose,
            args=(run, block),
            type="tertiary",
        )
    if st.session_state.pop("architecture_leaves", False):
        st.switch_page(SCREENS["residual-blocks"].file)


def _choose(run: str, block: str) -> None:
    select(run=run, block=block)
    st.session_state["architecture_leaves"] = True


def _trained(model: str) -> str | None:
    """A shipped checkpoint, else the newest run with weights."""
    for name in shipped_names():
        try:
            if find_checkpoint(name).model_name == model:
                return name
        except UserError:
            continue
    return next((run.run for run in store().runs() if run.model_name == model and run.status == "finished"), None)


def _images_like(spec: DataSpec) -> str:
    """Of the choices there the one with as many channels and classes."""
    alike = {(1, 10): "mnist-mini", (3, 10): "cifar10"}
    return alike.get((spec.channels, len(spec.classes)), ORIGINAL)


def diagram_link(checkpoint: Checkpoint, block: str, *, key: str = "diagram_link") -> None:
    """From a block of a trained network to its layers in the diagram."""
    if st.button("", icon=SCREENS["architectures"].icon, key=key, help=t("architectures.to_diagram")):
        config = checkpoint.config.model
        open_diagram(config.model, **{name: getattr(config, name) for name in SETTINGS})
        st.session_state["architecture_side"] = str(checkpoint.spec.height)
        st.session_state["architecture_images"] = _images_like(checkpoint.spec)
        st.session_state["architecture_block"] = block
        select(block=block)
        st.switch_page(SCREENS["architectures"].file)
