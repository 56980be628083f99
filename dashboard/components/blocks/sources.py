"""Which image goes through the blocks: one of a data set, a drawing, or a picture of the person's own."""

import numpy as np
import streamlit as st
from PIL import Image

from dashboard.components.formats import percent
from dashboard.components.image_picker import ENLARGED, enlarged, image_picker
from dashboard.components.sketch.sources import IMAGES, MOST_PICTURE, SOURCES
from dashboard.i18n import error_text, t
from dashboard.loading import images_for
from dashboard.measuring import probabilities
from dashboard.state import OwnImage, ShownImage
from resnet_core.data.picture import PreparedPicture, prepare_picture, squeezed
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint

SET, DRAWN, GIVEN = "set", "drawn", "given"
TITLES = {SET: "blocks.source_set", DRAWN: "sketch.draw", GIVEN: "sketch.photo"}
DIGITS = tuple("0123456789")
CHOSEN = "blocks_source"


def knows_digits(checkpoint: Checkpoint) -> bool:
    """Whether it was trained on grey digits, which a drawing can be made into."""
    return checkpoint.spec.channels == 1 and checkpoint.spec.classes == DIGITS


def chosen_source(checkpoint: Checkpoint) -> str:
    """What `shown_image` will offer, for who lays out the page before it: a canvas needs more room than a list."""
    chosen = st.session_state.get(CHOSEN, SET)
    return chosen if chosen in _sources(checkpoint) else SET


def shown_image(checkpoint: Checkpoint) -> ShownImage:
    """The chosen image; while nothing is drawn or given, the one of the data set that the link names."""
    st.session_state[CHOSEN] = chosen_source(checkpoint)
    source = st.segmented_control(
        t("sketch.source"),
        _sources(checkpoint),
        format_func=lambda name: t(TITLES[name]),
        required=True,
        wrap=True,
        key=CHOSEN,
        persist_state="session",
    )
    if source in (None, SET):
        return image_picker(checkpoint)
    own = _own(checkpoint, source)
    if own is None:
        st.caption(t("blocks.source_waiting"))
        return image_picker(checkpoint)
    _show(checkpoint, own)
    return own


def _sources(checkpoint: Checkpoint) -> list[str]:
    return [SET, DRAWN, GIVEN] if knows_digits(checkpoint) else [SET, GIVEN]


def _own(checkpoint: Checkpoint, source: str) -> OwnImage | None:
    try:
        if knows_digits(checkpoint):
            given = SOURCES["draw" if source == DRAWN else "photo"].show()
            if given is None or given.sketch.empty:
                return None
            pixels = squeezed(Image.fromarray(given.sketch.image), 1, checkpoint.spec.height, checkpoint.spec.width)
        else:
            picture = _uploaded(checkpoint)
            if picture is None:
                return None
            pixels = picture.pixels
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return None
    channels, height, width = pixels.shape
    return OwnImage(dataset=images_for(checkpoint), kind=source, content=pixels.tobytes(), shape=(channels, height, width))


def _uploaded(checkpoint: Checkpoint) -> PreparedPicture | None:
    """Any picture, brought to the network's size; what was changed is said."""
    spec = checkpoint.spec
    file = st.file_uploader(t("blocks.upload"), type=IMAGES, key="blocks_upload", max_upload_size=MOST_PICTURE)
    if file is None:
        return None
    picture = prepare_picture(file.getvalue(), file.name, spec)
    said = [t("blocks.upload_size", width=spec.width, height=spec.height)]
    if picture.channels > spec.channels:
        said.append(t("blocks.upload_gray"))
    if picture.frames > 1:
        said.append(t("blocks.upload_frames", count=picture.frames))
    st.caption(" ".join(said))
    return picture


def _show(checkpoint: Checkpoint, image: OwnImage) -> None:
    pixels = np.frombuffer(image.content, np.uint8).reshape(image.shape)
    answer = probabilities(checkpoint, image)
    best = int(answer.argmax())
    with st.container(horizontal=True, wrap=False, gap="small", vertical_alignment="center"):
        picture = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
        st.image(enlarged(picture), width=ENLARGED, alt=t("blocks.own_alt"))
        label, said = checkpoint.spec.classes[best], percent(float(answer[best]))
        st.markdown(t("pick.image_answer", label=label, probability=said, mark=""), help=t("pick.image_answer_help"))
