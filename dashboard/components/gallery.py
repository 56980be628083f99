"""Small pictures that can be clicked, and reached with the keyboard; they keep their place while they change."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

LARGEST = 64  # px, sides of a small picture as sent to the browser

_CSS = """
.gallery { display: grid; gap: 3px; }
button { padding: 0; border: 2px solid transparent; border-radius: 4px; background: none; cursor: pointer; line-height: 0; }
button:hover { border-color: var(--st-border-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); }
button[aria-pressed="true"] { border-color: #C2417F; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; border-radius: 2px; }
"""
_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".gallery")
  root.style.gridTemplateColumns = `repeat(${data.columns}, minmax(0, 1fr))`
  while (root.children.length > data.pictures.length) root.lastChild.remove()
  data.pictures.forEach((picture, place) => {
    let button = root.children[place]
    if (!button) {
      button = document.createElement("button")
      button.type = "button"
      button.append(document.createElement("img"))
      root.append(button)
    }
    const image = button.firstChild
    if (image.src !== picture.source) image.src = picture.source
    image.alt = picture.title
    button.title = picture.title
    button.setAttribute("aria-pressed", String(picture.value === data.selected))
    button.onclick = () => setTriggerValue("pick", picture.value)
  })
}
"""
_component = st.components.v2.component("residual_lens_gallery", html='<div class="gallery" role="group"></div>', css=_CSS, js=_JS)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """`pixels` uint8 (H, W) or (H, W, 3); `value` is handed to the page by a click."""

    value: int
    title: str
    pixels: NDArray[np.uint8]


def gallery(pictures: Sequence[Picture], *, key: str, columns: int, selected: int | None, on_pick: Callable[[int], None]) -> None:
    """Rows of `columns` pictures, the selected one framed."""

    def picked() -> None:
        value = st.session_state[key].pick
        if value is not None:
            on_pick(int(value))

    _component(
        key=key,
        data={
            "columns": columns,
            "selected": selected,
            "pictures": [{"value": p.value, "title": p.title, "source": as_data_url(p.pixels)} for p in pictures],
        },
        on_pick_change=picked,
    )


def as_data_url(pixels: NDArray[np.uint8]) -> str:
    """A PNG inside a link, at most LARGEST pixels wide and high."""
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
