"""From the strokes to the 28 x 28 image: each step a small picture, its numbers and its reason."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from dashboard.components.sketch.pictures import show_pixels
from dashboard.i18n import t
from resnet_core.data.sketch import SIDE, PreparedSketch, SketchStep

WIDTH = 176
TINY = 5  # screen pixels for a pixel of a step with few


@dataclass(frozen=True, kw_only=True)
class StepWords:
    """Keys of what is said of a step."""

    title: str
    reason: str


STEPS = {
    "photo": StepWords(title="sketch.photo_title", reason="sketch.photo_reason"),
    "ink": StepWords(title="sketch.ink_title", reason="sketch.ink_reason"),
    "drawn": StepWords(title="sketch.drawn_title", reason="sketch.drawn_reason"),
    "cropped": StepWords(title="sketch.cropped_title", reason="sketch.cropped_reason"),
    "scaled": StepWords(title="sketch.scaled_title", reason="sketch.scaled_reason"),
    "centred": StepWords(title="sketch.centred_title", reason="sketch.centred_reason"),
}


def show_journey(sketch: PreparedSketch) -> None:
    """All steps in a row; a photo's ink is the drawing, so that is shown once."""
    names = [step.name for step in sketch.steps]
    with st.container(horizontal=True, gap="medium"):
        for number, step in enumerate((s for s in sketch.steps if not (s.name == "drawn" and "ink" in names)), start=1):
            with st.container(width=WIDTH, gap="xsmall"):
                _show_step(number, step)


def _show_step(number: int, step: SketchStep) -> None:
    words = STEPS[step.name]
    st.markdown(f"**{number}. {t(words.title)}**")
    show_pixels(step.image, factor=TINY if max(step.image.shape) <= SIDE else 1, alt=t(words.title))
    st.markdown(step_numbers(step.name, step.values))
    st.caption(t(words.reason))


def step_numbers(name: str, values: Mapping[str, float]) -> str:
    """What was measured and moved, in words."""
    match name:
        case "photo":
            key = "sketch.photo_dark" if values["inverted"] else "sketch.photo_light"
            return t(key, width=int(values["width"]), height=int(values["height"]))
        case "ink":
            key = "sketch.ink_removed" if values["removed"] else "sketch.ink_alone"
            return t(key, contrast=values["contrast"] / 255, removed=int(values["removed"]))
        case "centred":
            return _moved(int(values["right"]), int(values["down"]))
        case "scaled":
            key = "sketch.scaled_numbers" if values["brightness"] == 1 else "sketch.scaled_brighter"
            return t(key, **{**values, "width": int(values["width"]), "height": int(values["height"])})
        case _:
            key = "sketch.cropped_numbers" if name == "cropped" else "sketch.drawn_numbers"
            return t(key, **{field: int(value) for field, value in values.items()})


def _moved(right: int, down: int) -> str:
    moves = []
    if right:
        moves.append(t("sketch.moved_right" if right > 0 else "sketch.moved_left", count=abs(right)))
    if down:
        moves.append(t("sketch.moved_down" if down > 0 else "sketch.moved_up", count=abs(down)))
    return t("sketch.moved", moves=t("sketch.and").join(moves)) if moves else t("sketch.not_moved")
