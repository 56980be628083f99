"""A drawing of boxes and edges in the browser: zoomable, clickable, reached with the keyboard, saved as a picture."""

from collections.abc import Callable

import streamlit as st

from dashboard.bootstrap import ASSETS
from dashboard.charts.diagram import Drawing
from dashboard.i18n import t

_HTML = """
<div class="diagram">
  <div class="tools"><button class="further" type="button">−</button><button class="closer" type="button">+</button>
    <button class="whole" type="button">⤢</button><button class="picture" type="button">⤓</button></div>
  <div class="view"></div>
</div>
"""
_component = st.components.v2.component(
    "residual_lens_diagram",
    html=_HTML,
    css=(ASSETS / "diagram.css").read_text(encoding="utf-8"),
    js=(ASSETS / "diagram.js").read_text(encoding="utf-8"),
)


def show_drawing(drawing: Drawing, *, key: str, alt: str, file: str, room: int, on_pick: Callable[[str], None] | None = None) -> None:
    """`room` is its greatest height in px, behind which it scrolls; `on_pick` gets the value of the box that was chosen."""

    def picked() -> None:
        value = st.session_state[key].pick
        if value is not None and on_pick is not None:
            on_pick(str(value))

    words = {name: t(f"architectures.draw_{name}") for name in ("closer", "further", "whole", "picture")}
    data = {
        "width": drawing.width,
        "height": drawing.height,
        "items": drawing.items,
        "alt": alt,
        "file": file,
        "room": room,
        "words": words,
    }
    _component(key=key, data=data, on_pick_change=picked)
