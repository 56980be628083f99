"""Which image: a split, its pictures page by page, and the chosen one enlarged with what the network says of it."""

import random
from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from dashboard.components.formats import literal, percent
from dashboard.components.gallery import Picture, gallery
from dashboard.i18n import error_text, t
from dashboard.loading import checkpoint_images, images_for
from dashboard.measuring import PickedImage, picked_image, pixels_of, probabilities
from dashboard.state import ImageChoice, select, selection
from resnet_core.data import DATASETS, DataSpec, Split, display_name, splits_of
from resnet_core.errors import UserError, nearest
from resnet_core.runs import Checkpoint, require_channels

COLUMNS, ROWS = 6, 2
ON_A_PAGE = COLUMNS * ROWS
ALL_LABELS = -1
SPLITS = {"test": "pick.split_test", "valid": "pick.split_valid", "train": "pick.split_train"}
ENLARGED = 96  # px


def image_picker(checkpoint: Checkpoint, *, key: str = "image_picker") -> ImageChoice:
    """The chosen image of a split, the first test image by default. Raises data_missing where the checkpoint's images are not here."""
    own = images_for(checkpoint)
    choice, error = asked_image(checkpoint, own)
    spec, split = checkpoint_images(checkpoint, choice.dataset, choice.split)
    _show(checkpoint, choice)
    with st.container(horizontal=True, wrap=False, gap="xsmall"):
        _split_select(key, choice, own)
        label = _label_select(key, choice, spec, split)
    if error is not None:
        st.warning(error_text(error), icon=":material/warning:")
    matching = _matching(split, label)
    _gallery(key, choice, spec, split, matching)
    _steps(key, choice, len(split), matching)
    return choice


def asked_image(checkpoint: Checkpoint, own: str) -> tuple[ImageChoice, UserError | None]:
    """The image of the selection; the first test image of `own`, and why, where a link asks for one that cannot be shown."""
    default = ImageChoice(dataset=own, split="test", index=0)
    asked = selection().image
    if asked is None:
        return default, None
    try:
        _require_known(asked.dataset, own)
        if asked.dataset in DATASETS and DATASETS[asked.dataset].spec.channels != checkpoint.spec.channels:
            require_channels(checkpoint, DATASETS[asked.dataset].spec.channels)
        picked_image(checkpoint, asked)
    except UserError as error:
        return default, error
    return asked, None


def _require_known(dataset: str, own: str) -> None:
    """A link opens data sets by name; a folder only when the checkpoint was trained on it."""
    if dataset != own and dataset not in DATASETS:
        raise UserError("unknown_name", what="data set", value=dataset, hint=nearest(dataset, {own, *DATASETS}))


def _show(checkpoint: Checkpoint, choice: ImageChoice) -> None:
    picked = picked_image(checkpoint, choice)
    with st.container(horizontal=True, wrap=False, gap="small", vertical_alignment="center"):
        st.image(enlarged(picked.pixels), width=ENLARGED, alt=t("pick.image_alt", index=choice.index, label=picked.class_name))
        with st.container(gap="xsmall"):
            st.markdown(t("pick.image_label", label=literal(picked.class_name)))
            st.markdown(_said(checkpoint, choice, picked), help=t("pick.image_answer_help"))


def _said(checkpoint: Checkpoint, choice: ImageChoice, picked: PickedImage) -> str:
    """The network's answer with its probability, and whether it is the label, where the network has a class of this name."""
    answer = probabilities(checkpoint, choice)
    if not np.isfinite(answer).all():
        return t("pick.image_no_answer")
    best = int(answer.argmax())
    name = checkpoint.spec.classes[best]
    mark = ""
    if picked.class_name in checkpoint.spec.classes:  # else the image is of another data set
        mark = ":green[:material/check:]" if name == picked.class_name else ":red[:material/close:]"
    return t("pick.image_answer", label=literal(name), probability=percent(float(answer[best])), mark=mark)


def enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    """Each pixel stays a square."""
    image = Image.fromarray(pixels)
    factor = max(1, round(2 * ENLARGED / max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


# -- which split and which labels -------------------------------------------------------------------------------------------------


def _split_select(key: str, choice: ImageChoice, own: str) -> None:
    options = [f"{own}:{split}" for split in SPLITS if split in splits_of(own)]
    chosen = f"{choice.dataset}:{choice.split}"
    if chosen not in options:
        options.insert(0, chosen)
    widget = f"{key}_split"
    st.session_state[widget] = chosen

    def in_words(option: str) -> str:
        dataset, _, split = option.rpartition(":")
        return t(SPLITS[split]) if dataset == own else f"{t(SPLITS[split])} · {display_name(dataset)}"

    def changed() -> None:
        dataset, _, split = st.session_state[widget].rpartition(":")
        _go(key, ImageChoice(dataset=dataset, split=split, index=0))

    st.selectbox(t("pick.split"), options, format_func=in_words, key=widget, on_change=changed)


def _label_select(key: str, choice: ImageChoice, spec: DataSpec, split: Split) -> int:
    widget = f"{key}_label"
    options = [ALL_LABELS, *range(len(spec.classes))]
    if st.session_state.get(widget) not in options:
        st.session_state[widget] = ALL_LABELS

    def changed() -> None:
        matching = _matching(split, st.session_state[widget])
        if len(matching) and choice.index not in matching:
            _go(key, ImageChoice(dataset=choice.dataset, split=choice.split, index=int(matching[0])))
        st.session_state.pop(f"{key}_page", None)

    return int(
        st.selectbox(
            t("pick.label"),
            options,
            format_func=lambda option: t("pick.all_labels") if option == ALL_LABELS else spec.classes[option],
            key=widget,
            on_change=changed,
        )
    )


def _matching(split: Split, label: int) -> NDArray[np.int64]:
    labels = split.labels.numpy()
    return np.arange(len(labels)) if label == ALL_LABELS else np.flatnonzero(labels == label)


# -- one of many ------------------------------------------------------------------------------------------------------------------


def _gallery(key: str, choice: ImageChoice, spec: DataSpec, split: Split, matching: NDArray[np.int64]) -> None:
    start = _page(key, choice, matching) * ON_A_PAGE
    pictures = [
        Picture(
            value=int(index),
            title=t("pick.image_alt", index=int(index), label=spec.classes[int(split.labels[index])]),
            pixels=pixels_of(split.images[index]),
        )
        for index in matching[start : start + ON_A_PAGE]
    ]

    def picked(index: int) -> None:
        select(image=ImageChoice(dataset=choice.dataset, split=choice.split, index=index))

    gallery(pictures, key=f"{key}_gallery", columns=COLUMNS, selected=choice.index, on_pick=picked)


def _page(key: str, choice: ImageChoice, matching: NDArray[np.int64]) -> int:
    """The page that was turned to, else the one that holds the chosen image."""
    turned = st.session_state.get(f"{key}_page")
    return int(np.searchsorted(matching, choice.index)) // ON_A_PAGE % _pages(matching) if turned is None else turned % _pages(matching)


def _pages(matching: Sequence[int] | NDArray[np.int64]) -> int:
    return max(1, -(-len(matching) // ON_A_PAGE))


def _steps(key: str, choice: ImageChoice, count: int, matching: NDArray[np.int64]) -> None:
    """Turn the page, type a number, or let chance choose."""
    page, widget = _page(key, choice, matching), key
    st.session_state[widget] = choice.index

    def turn(by: int) -> None:
        st.session_state[f"{key}_page"] = page + by

    def go(index: int) -> None:
        st.session_state[f"{key}_beyond"] = None if 0 <= index < count else index
        if 0 <= index < count:  # else the image stays, and the reason is said
            _go(key, ImageChoice(dataset=choice.dataset, split=choice.split, index=index))

    with st.container(horizontal=True, wrap=False, gap="xxsmall", vertical_alignment="bottom"):
        st.button("", icon=":material/chevron_left:", key=f"{key}_back", help=t("pick.page_back"), on_click=turn, args=(-1,))
        st.number_input(
            t("pick.index", last=count - 1),
            value=None,
            step=1,
            key=widget,
            on_change=lambda: go(choice.index if st.session_state[widget] is None else st.session_state[widget]),
            width="stretch",
        )
        st.button(
            "", icon=":material/casino:", key=f"{key}_random", help=t("pick.random"), on_click=lambda: go(_other(matching, choice.index))
        )
        st.button("", icon=":material/chevron_right:", key=f"{key}_forward", help=t("pick.page_forward"), on_click=turn, args=(1,))
    beyond = st.session_state.pop(f"{key}_beyond", None)
    if beyond is not None:
        where = {"name": choice.dataset, "split": choice.split, "value": beyond, "last": count - 1}
        st.error(error_text(UserError("index_out_of_range", **where)), icon=":material/error:")


def _other(matching: NDArray[np.int64], index: int) -> int:
    others = matching[matching != index]
    return int(random.choice(others)) if len(others) else index


def _go(key: str, choice: ImageChoice) -> None:
    """Choose an image, and turn to the page where it is."""
    st.session_state.pop(f"{key}_page", None)
    select(image=choice)
