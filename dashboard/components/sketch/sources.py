"""Where the image comes from: drawn, a photo, the camera, or a test image."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from dashboard.components.sketch.paste import pasted_image
from dashboard.i18n import t
from dashboard.loading import split_images
from dashboard.sketch_input import SIDE, clear_canvas, show_canvas, undo_stroke
from dashboard.state import ImageChoice, select, selection
from resnet_core.data.erasing import Line
from resnet_core.data.photo import prepare_photo
from resnet_core.data.sketch import PreparedSketch, prepare_sketch
from resnet_core.errors import UserError

IMAGES = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"]
MOST_PICTURE = 20  # MB
TEST_SET = "mnist-mini"  # always here, with MNIST's official test images
SAME_IMAGES = (TEST_SET, "mnist")
BRUSH = (6, 36, 20)  # narrowest, widest, at first: in pixels of the canvas


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a person gave, prepared; `lines` are the strokes of a drawing. `image` is set for a test image, which other pages show too."""

    sketch: PreparedSketch
    lines: tuple[Line, ...] = ()
    image: ImageChoice | None = None
    label: str | None = None


def pick_source() -> str:
    source = st.segmented_control(
        t("sketch.source"),
        list(SOURCES),
        format_func=lambda name: t(SOURCES[name].title),
        default="draw",
        required=True,
        key="sketch_source",
        persist_state="session",
    )
    return source or "draw"


def _drawn() -> Given | None:
    st.markdown(f"**{t('sketch.canvas_title')}**")
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        brush = st.slider(
            t("sketch.brush"), *BRUSH, format="%d px", key="sketch_brush", help=t("sketch.brush_help"), width=136, persist_state="session"
        )
        with place:
            drawing = show_canvas(brush)
        empty = not drawing.strokes
        st.button(t("sketch.undo"), on_click=undo_stroke, disabled=empty, key="sketch_undo")
        st.button(t("sketch.clear"), on_click=clear_canvas, disabled=empty, key="sketch_clear")
    pixels = drawing.pixels
    return None if pixels is None else Given(sketch=prepare_sketch(pixels), lines=drawing.lines)


def _uploaded() -> Given | None:
    """The file that was chosen; without one, what was pasted."""
    file = st.file_uploader(t("sketch.upload"), type=IMAGES, key="sketch_upload", max_upload_size=MOST_PICTURE)
    pasted = pasted_image("sketch_paste")
    st.caption(t("sketch.photo_hint"))
    if file is not None:
        return _photo(file.getvalue(), file.name)
    return None if pasted is None else _photo(pasted, t("sketch.paste_name"))


def _taken() -> Given | None:
    picture = st.camera_input(t("sketch.camera_label"), key="sketch_camera")
    st.caption(t("sketch.photo_hint"))
    return None if picture is None else _photo(picture.getvalue(), t("sketch.camera_photo"))


def _photo(content: bytes, name: str) -> Given:
    sketch = _prepared_photo(content, name)
    if sketch.empty:
        raise UserError("no_ink", path=name)
    return Given(sketch=sketch)


@st.cache_data(max_entries=16, show_spinner=False)
def _prepared_photo(content: bytes, name: str) -> PreparedSketch:
    return prepare_photo(content, name)


def _test_image() -> Given | None:
    spec, images = split_images(TEST_SET, "test")
    linked = selection().image
    if linked and linked.dataset in SAME_IMAGES and linked.split == "test" and linked.index < len(images):
        st.session_state["sketch_image"] = linked.index
    last = len(images) - 1
    index = st.number_input(
        t("sketch.image_number", last=last), 0, last, key="sketch_image", on_change=_follow_image, persist_state="session"
    )
    st.button(t("sketch.another"), icon=":material/casino:", on_click=_another_image, args=(last,), key="sketch_another")
    label = spec.classes[int(images.labels[index])]
    st.markdown(t("sketch.image_label", label=label))
    st.caption(t("sketch.image_source"))
    choice = _choose(int(index))
    return Given(sketch=prepare_sketch(images.images[index, 0].numpy()), image=choice, label=label)


def _another_image(last: int) -> None:
    _choose(random.randint(0, last))


def _follow_image() -> None:
    _choose(int(st.session_state["sketch_image"]))


def _choose(index: int) -> ImageChoice:
    choice = ImageChoice(dataset=TEST_SET, split="test", index=index)
    select(image=choice)
    return choice


@dataclass(frozen=True, kw_only=True)
class Source:
    """A way to give an image: `show` draws its widgets and returns what was given; None while that is nothing, as `waiting` says."""

    title: str
    show: Callable[[], Given | None]
    waiting: str
    waiting_caption: str


SOURCES = {
    "draw": Source(title="sketch.draw", show=_drawn, waiting="sketch.draw_something", waiting_caption="sketch.draw_caption"),
    "photo": Source(title="sketch.photo", show=_uploaded, waiting="sketch.waiting_photo", waiting_caption="sketch.photo_caption"),
    "camera": Source(title="sketch.camera", show=_taken, waiting="sketch.waiting_camera", waiting_caption="sketch.photo_caption"),
    "test": Source(title="sketch.test_image", show=_test_image, waiting="sketch.draw_something", waiting_caption="sketch.draw_caption"),
}
WIDTH = SIDE + 10
