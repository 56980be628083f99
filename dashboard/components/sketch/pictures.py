"""Small grey images enlarged pixel by pixel, carried inside the page: a file of its own might be gone before a slow browser asks for it."""

import base64
import io

import numpy as np
import streamlit as st
from PIL import Image

from resnet_core.data.sketch import Pixels


def show_pixels(image: Pixels, *, factor: int, alt: str) -> None:
    """Grey (H, W), each pixel a square of `factor` x `factor`."""
    height, width = image.shape
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).resize((width * factor, height * factor), Image.Resampling.NEAREST).save(file, "PNG")
    st.image(f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", width=width * factor, alt=alt)
