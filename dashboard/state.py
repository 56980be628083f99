"""What a session remembers: every session_state key, and the selection (run, other, image, block) that lives in the link as well."""

import dataclasses
import hashlib
import re
from dataclasses import dataclass

import streamlit as st

# Every key that is not a widget of one page alone.
LANGUAGE = "reader_language"
LANGUAGE_SWITCH = "language"  # the widget; its own value would go when a run of a page stops before it
FRAME = "frame_drawn"  # app.py ran in this session, so the server knows the pages
SELECTION = {
    "run": "selected_run",
    "other": "selected_other",
    "image": "selected_image",
    "block": "selected_block",
}  # parameter of the link -> key


@dataclass(frozen=True, kw_only=True)
class ImageChoice:
    """One image of a split, written `mnist-mini:test:12` in links (a data set's own name may hold colons)."""

    dataset: str
    split: str
    index: int

    def __str__(self) -> str:
        return f"{self.dataset}:{self.split}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> "ImageChoice | None":
        """None for what is no image: a link may have been mistyped."""
        parts = text.rsplit(":", 2)
        if len(parts) != 3 or not parts[0] or not re.fullmatch("[0-9]{1,9}", parts[2]):
            return None
        return cls(dataset=parts[0], split=parts[1], index=int(parts[2]))


@dataclass(frozen=True, kw_only=True)
class OwnImage:
    """A picture that a person drew or gave (`kind`), as a network gets it: uint8 (C, H, W) in `content`. It stands in no link; `dataset`
    is where the images come from that the page shows beside it."""

    dataset: str
    kind: str
    content: bytes
    shape: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.kind}:{hashlib.sha256(repr(self.shape).encode() + self.content).hexdigest()[:16]}"


ShownImage = ImageChoice | OwnImage


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What every page shows, as far as it was chosen: a run id or shipped name, another one that it is compared with, an image, a block
    (`stages.1.0`)."""

    run: str | None = None
    other: str | None = None
    image: ImageChoice | None = None
    block: str | None = None


def selection() -> Selection:
    image = st.session_state.get(SELECTION["image"])
    return Selection(
        run=st.session_state.get(SELECTION["run"]),
        other=st.session_state.get(SELECTION["other"]),
        image=None if image is None else ImageChoice.parse(image),
        block=st.session_state.get(SELECTION["block"]),
    )


def select(**changes: str | ImageChoice | None) -> None:
    """Change the selection (`run=`, `other=`, `image=`, `block=`) here and in the link; None forgets it."""
    chosen = dataclasses.replace(selection(), **changes)  # type: ignore[arg-type]  # a wrong name raises here
    for parameter in changes:
        value = getattr(chosen, parameter)
        st.session_state[SELECTION[parameter]] = None if value is None else str(value)
        _write(parameter, st.session_state[SELECTION[parameter]])


def follow_link() -> None:
    """At the start of a run of a page: what the link says is chosen; what it leaves out is written into it.

    A change of page leaves the parameters behind, and the back button brings older ones.
    """
    for parameter, key in SELECTION.items():
        if asked := st.query_params.get(parameter):
            st.session_state[key] = asked
        else:
            _write(parameter, st.session_state.get(key))


def write_language(language: str, default: str) -> None:
    """Keep the language in the link, unless it is what the browser asks for anyway."""
    _write("lang", None if language == default and "lang" not in st.query_params else language)


def _write(parameter: str, value: str | None) -> None:
    if value is None:
        st.query_params.pop(parameter, None)
    elif st.query_params.get(parameter) != value:
        st.query_params[parameter] = value
