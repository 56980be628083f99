"""Which two networks, which split of which data, which image: what everything on the page is about."""

from dataclasses import dataclass

import streamlit as st

from dashboard.charts.theme import NetworkStyle, network_styles
from dashboard.components.image_picker import SPLITS, asked_image
from dashboard.components.names import network_label
from dashboard.components.run_picker import run_picker
from dashboard.i18n import error_text, t
from dashboard.loading import checkpoint_images, file_state, images_beside, images_for, labelled_images
from dashboard.state import ImageChoice, select
from resnet_core.data import DataSpec, Split, display_name, splits_of
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint

SIDES = ("A", "B")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two checkpoints for the same classes, and the image that is chosen; its data set and split are those of the comparison."""

    a: Checkpoint
    b: Checkpoint
    image: ImageChoice

    @property
    def checkpoints(self) -> tuple[Checkpoint, Checkpoint]:
        return self.a, self.b

    @property
    def models(self) -> tuple[str, str]:
        return self.a.model_name, self.b.model_name

    @property
    def states(self) -> tuple[tuple[str, float], tuple[str, float]]:
        """What a cache about both is keyed by."""
        return file_state(self.a), file_state(self.b)

    @property
    def data(self) -> tuple[str, str]:
        """Data set and split."""
        return self.image.dataset, self.image.split

    @property
    def labels(self) -> tuple[str, str]:
        """`A · ResNet-20`: the letter is the network's name everywhere on the page."""
        first, second = (f"{side} · {network_label(model)}" for side, model in zip(SIDES, self.models, strict=True))
        return first, second

    @property
    def styles(self) -> tuple[NetworkStyle, NetworkStyle]:
        first, second = network_styles(self.models)
        return first, second

    def images(self, place: int) -> Split:
        """The split at the size of A (0) or of B (1), in the same order."""
        if place == 0:
            return checkpoint_images(self.a, *self.data)[1]
        return images_beside(self.a, self.b, *self.data)

    @property
    def spec(self) -> DataSpec:
        """Of the images as A gets them."""
        return checkpoint_images(self.a, *self.data)[0]


def pair_picker() -> Pair | None:
    """The widgets in one row; None (said) where there is no network. Raises what opening the images raises."""
    first, second, data = st.columns([2, 2, 1.1])
    with first:
        a = run_picker(label=t("compare.first"))
    if a is None:
        return None
    with second:
        b = run_picker(key="other_picker", label=t("compare.second"), beside=a)
    if b is None:
        return None
    with data:
        return Pair(a=a, b=b, image=_image(a))


def _image(checkpoint: Checkpoint) -> ImageChoice:
    """The chosen image, and the widget that changes its split."""
    own = images_for(checkpoint)
    choice, error = asked_image(checkpoint, own)
    try:
        _require_classes(checkpoint, choice)
    except UserError as other:
        error, choice = other, ImageChoice(dataset=own, split="test", index=0)
        _require_classes(checkpoint, choice)
    options = [f"{own}:{split}" for split in SPLITS if split in splits_of(own)]
    chosen = f"{choice.dataset}:{choice.split}"
    if chosen not in options:
        options.insert(0, chosen)
    st.session_state["compare_split"] = chosen

    def in_words(option: str) -> str:
        dataset, _, split = option.rpartition(":")
        return f"{display_name(dataset)}, {t(SPLITS[split])}"

    def changed() -> None:
        dataset, _, split = st.session_state["compare_split"].rpartition(":")
        select(image=ImageChoice(dataset=dataset, split=split, index=0))

    st.selectbox(t("compare.data"), options, format_func=in_words, key="compare_split", on_change=changed, help=t("compare.data_help"))
    if error is not None:
        st.warning(error_text(error), icon=":material/warning:")
    return choice


def _require_classes(checkpoint: Checkpoint, choice: ImageChoice) -> None:
    labelled_images(checkpoint, choice.dataset, choice.split)
