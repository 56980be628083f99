"""The one file that knows the canvas component (streamlit-drawable-canvas): white ink on black, 280 x 280 pixels.

The component keeps a drawing in the browser and sends it 0.2 s after the pen was lifted. What it is to show instead (after undo, clear or
a return to the page) goes to it as a new `initial_drawing`. What it sends next may still be the drawing before: the name of the
background colour says which one it answers, and an answer to an older one is not looked at.
"""

import io
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from resnet_core.data.erasing import Line
from resnet_core.data.sketch import Pixels

KEY = "sketch_canvas"
MEMORY = "sketch_drawing"
SIDE = 280
INK = "#ffffff"
CURVE = (0.25, 0.5, 0.75, 1.0)  # where a curved piece of a stroke is looked at


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A person's drawing, kept while they look at other pages. `given` strokes are the ones the canvas was started with.

    `png` is the picture of the last strokes that the canvas sent: None while there was none.
    """

    turn: int = 0
    given: list[dict[str, Any]] = field(default_factory=list)
    strokes: list[dict[str, Any]] = field(default_factory=list)
    png: bytes | None = None

    @property
    def pixels(self) -> Pixels | None:
        """RGBA (280, 280, 4), or None while nothing is drawn."""
        if self.png is None or not self.strokes:
            return None
        return np.asarray(Image.open(io.BytesIO(self.png)).convert("RGBA"))

    @property
    def lines(self) -> tuple[Line, ...]:
        """The strokes as points; empty where the canvas drew anything but strokes."""
        lines = tuple(_line(stroke) for stroke in self.strokes)
        return tuple(line for line in lines if line is not None) if None not in lines else ()

    @property
    def background(self) -> str:
        """Black under another name every time."""
        return f"hsl({self.turn}, 0%, 0%)"


def _line(stroke: dict[str, Any]) -> Line | None:
    """Of a free drawing, Fabric's path in pixels of the canvas: M x y, Q x y (through) x y, L x y."""
    if str(stroke.get("type")).lower() != "path" or not stroke.get("path"):
        return None
    points: list[tuple[float, float]] = []
    for command, *numbers in stroke["path"]:
        if command == "Q":
            (x0, y0), (x1, y1, x2, y2) = points[-1], numbers
            for share in CURVE:
                rest = 1 - share
                points.append((rest**2 * x0 + 2 * rest * share * x1 + share**2 * x2, rest**2 * y0 + 2 * rest * share * y1 + share**2 * y2))
        else:
            points.append((numbers[0], numbers[1]))
    return Line(points=np.array(points, np.float64), width=float(stroke.get("strokeWidth", 1)))


def remembered() -> Drawing:
    return st.session_state.get(MEMORY) or Drawing()


def show_canvas(brush: int) -> Drawing:
    """The canvas with a brush of so many pixels, and what is drawn on it."""
    from streamlit_drawable_canvas import st_canvas  # registers itself with the running app when it is imported

    if KEY not in st.session_state:  # the first time, or back from another page, where the canvas was taken down
        _start_with(remembered().strokes)
    drawing = remembered()
    result = st_canvas(
        stroke_width=brush,
        stroke_color=INK,
        background_color=drawing.background,
        initial_drawing={"objects": drawing.given},
        width=SIDE,
        height=SIDE,
        return_image_data=True,
        key=KEY,
    )
    sent = result.json_data or {}
    if sent.get("background") == drawing.background and result.image_bytes is not None:
        drawing = replace(drawing, strokes=sent["objects"], png=result.image_bytes)
        st.session_state[MEMORY] = drawing
    return drawing


def undo_stroke() -> None:
    """Take the last stroke away; its picture goes when the canvas has drawn the others."""
    _start_with(remembered().strokes[:-1])


def clear_canvas() -> None:
    _start_with([])


def _start_with(strokes: list[dict[str, Any]]) -> None:
    before = remembered()
    st.session_state[MEMORY] = replace(before, turn=before.turn + 1, given=strokes, strokes=strokes)
