"""The first thing a person sees: a digit inside a residual block of a shipped network, to play with at once."""

from contextlib import suppress

import numpy as np
import streamlit as st

from dashboard.components.blocks.maps import mean_maps
from dashboard.components.formats import percent
from dashboard.components.names import block_label, network_label
from dashboard.i18n import t
from dashboard.loading import block_names, checkpoint_images, has_blocks, images_for, is_known, open_checkpoint
from dashboard.measuring import maps_of, picked_image, probabilities
from dashboard.navigation import link_to
from dashboard.state import ImageChoice, select, selection
from resnet_core.errors import UserError
from resnet_core.inspection import BlockMaps
from resnet_core.runs import Checkpoint, shipped_names

FIRST = "resnet20-mnist"
ACROSS, ALONG = 0.2, 0.7  # cosines: within the one of 0 is nearly at right angles (12 degrees off), beyond the other the same way (45)
HEIGHT = 200
FIRST_LABEL = 3


def live_block() -> None:
    """The chosen network's block for a digit; draws a hint where nothing was trained."""
    found = _network_and_image()
    if found is None:
        st.info(t("home.ready_none"), icon=":material/info:")
        return
    (checkpoint, choice), name = found, _block(found[0])
    maps = maps_of(checkpoint, choice, name)
    place = st.container()
    _controls(checkpoint, choice, name)
    with place:
        network = network_label(checkpoint.model_name)
        st.markdown(f"**{t('home.live_title', network=network, block=block_label(name), channels=len(maps.residual))}**")
        mean_maps(maps, key="home_maps", height=HEIGHT, file=f"{checkpoint.name}-{choice.index}-{name}.png")
        st.markdown(_sentence(checkpoint, network, choice, maps))
    link_to("residual-blocks", label=t("home.open"))


def _network_and_image() -> tuple[Checkpoint, ImageChoice] | None:
    """The network that was chosen elsewhere, else the first shipped one, that can be opened, has blocks, and whose images are here."""
    for name in (selection().run, FIRST, *shipped_names()):
        try:
            if name and is_known(name) and has_blocks(found := open_checkpoint(name)):
                return found, _image(found)
        except UserError:
            continue
    return None


def _image(checkpoint: Checkpoint) -> ImageChoice:
    """The chosen image where it is one of this network's test images, else the first 3."""
    chosen = selection().image
    if chosen is not None and (chosen.dataset, chosen.split) == (images_for(checkpoint), "test"):
        with suppress(UserError):  # a link may ask for one that there is not
            picked_image(checkpoint, chosen)
            return chosen
    return _first_of(checkpoint, min(FIRST_LABEL, len(checkpoint.spec.classes) - 1))


def _first_of(checkpoint: Checkpoint, label: int) -> ImageChoice:
    """The first test image of this class."""
    dataset = images_for(checkpoint)
    _, split = checkpoint_images(checkpoint, dataset, "test")
    return ImageChoice(dataset=dataset, split="test", index=int(np.argmax(split.labels.numpy() == label)))


def _block(checkpoint: Checkpoint) -> str:
    """The chosen block where this network has it, else the middle one."""
    blocks = block_names(checkpoint)
    chosen = selection().block
    return chosen if chosen in blocks else blocks[len(blocks) // 2]


def _controls(checkpoint: Checkpoint, choice: ImageChoice, block: str) -> None:
    """Digit and block: what is changed here is chosen for every page, what a link brought stays."""
    classes = checkpoint.spec.classes
    st.session_state["home_digit"] = picked_image(checkpoint, choice).label
    st.session_state["home_block"] = block

    def changed_digit() -> None:
        select(image=_first_of(checkpoint, st.session_state["home_digit"]))

    def changed_block() -> None:
        select(block=st.session_state["home_block"])

    digit, place = st.columns([1.25, 1], gap="medium")
    digit.segmented_control(
        t("home.digit"), range(len(classes)), format_func=classes.__getitem__, required=True, key="home_digit", on_change=changed_digit
    )
    place.select_slider(t("home.block"), block_names(checkpoint), format_func=block_label, key="home_block", on_change=changed_block)


def _sentence(checkpoint: Checkpoint, network: str, choice: ImageChoice, maps: BlockMaps) -> str:
    chances = probabilities(checkpoint, choice)
    answer = checkpoint.spec.classes[int(chances.argmax())]
    said = {"network": network, "answer": answer, "probability": percent(float(chances.max()), 1)}
    if maps.shortcut is None:
        return t("home.live_plain", **said)
    residual, shortcut = float(np.linalg.norm(maps.residual)), float(np.linalg.norm(maps.shortcut))
    cosine = float((maps.residual * maps.shortcut).sum()) / max(residual * shortcut, 1e-12)
    side = "with" if cosine > 0 else "against"
    way = "across" if abs(cosine) < ACROSS else side if abs(cosine) >= ALONG else f"partly_{side}"
    return t("home.live_read", **said, ratio=f"{residual / max(shortcut, 1e-12):.2f}", direction=t(f"home.{way}", cosine=f"{cosine:.2f}"))
