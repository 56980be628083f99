"""A drawing becomes an image as MNIST's were made: https://yann.lecun.com/exdb/mnist (LeCun, Cortes and Burges).

Crop to the ink, keep the aspect, scale into a box of 20 x 20 pixels with grey edges, move the centre of mass to the middle of 28 x 28.
One function for the canvas, for uploads (see photo.py) and for the command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

SIDE, BOX = 28, 20
MIDDLE = 14  # MNIST's centres of mass all lie between 13.5 and 14.5, counting pixels from 0: it moved by whole pixels
VISIBLE = 32  # of 255: a drawing with nothing brighter holds no ink
MNIST_WHITE = 254  # the brightest pixel of every MNIST image is 254 or 255
SHOWN_SIDE = 140  # the longer side of a step's picture, at most


@dataclass(frozen=True, kw_only=True)
class SketchStep:
    """One step of the preparation: what it made, bright ink on black (h, w), and its numbers in pixels.

    | name | values |
    |---|---|
    | photo | width, height, inverted (1 where the ink was darker than the paper) |
    | ink | contrast (of 255), removed (specks, lines and frames taken away) |
    | drawn | width, height |
    | cropped | left, top, width, height |
    | scaled | factor, width, height, brightness (a factor too) |
    | centred | right, down |
    """

    name: str
    image: Pixels
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class PreparedSketch:
    """`image` (28, 28) uint8 is what a network gets, all 0 when `empty`; `ink` what it was made from; `steps` tell how it came about."""

    image: Pixels
    ink: Pixels
    empty: bool
    steps: tuple[SketchStep, ...]


def prepare_sketch(canvas: Pixels) -> PreparedSketch:
    """White ink on black, uint8 (H, W), (H, W, 3) or RGBA (H, W, 4), at any size and place -> the 28 x 28 image and its journey."""
    ink = ink_of(canvas)
    height, width = ink.shape
    drawn = SketchStep(name="drawn", image=shown(ink), values={"width": width, "height": height})
    if ink.max(initial=0) < VISIBLE:
        return PreparedSketch(image=np.zeros((SIDE, SIDE), np.uint8), ink=ink, empty=True, steps=(drawn,))
    left, top, right, bottom = ink_box(ink)
    cropped = ink[top:bottom, left:right]
    scaled, factor, gain = scaled_into_box(cropped)
    image, moved_right, moved_down = centred(scaled)
    crop = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    scale = {"factor": factor, "width": scaled.shape[1], "height": scaled.shape[0], "brightness": gain}
    steps = (
        drawn,
        SketchStep(name="cropped", image=shown(cropped), values=crop),
        SketchStep(name="scaled", image=scaled, values=scale),
        SketchStep(name="centred", image=image, values={"right": moved_right, "down": moved_down}),
    )
    return PreparedSketch(image=image, ink=ink, empty=False, steps=steps)


def sketch_image(canvas: Pixels) -> Pixels:
    """The image of `prepare_sketch` alone, in half the time: for whole sets of drawings."""
    ink = ink_of(canvas)
    if ink.max(initial=0) < VISIBLE:
        return np.zeros((SIDE, SIDE), np.uint8)
    left, top, right, bottom = ink_box(ink)
    return centred(scaled_into_box(ink[top:bottom, left:right])[0])[0]


def ink_of(canvas: Pixels) -> Pixels:
    """How bright each pixel is (H, W), transparent ones counting as black."""
    if canvas.dtype != np.uint8 or canvas.ndim not in (2, 3) or (canvas.ndim == 3 and canvas.shape[2] not in (3, 4)):
        raise ValueError(f"a canvas must be uint8 (H, W), (H, W, 3) or (H, W, 4), got {canvas.dtype} {canvas.shape}")
    if canvas.ndim == 2:
        return canvas
    gray = canvas[..., :3].mean(2)
    ink: Pixels = np.rint(gray * canvas[..., 3] / 255 if canvas.shape[2] == 4 else gray).astype(np.uint8)
    return ink


def ink_box(ink: Pixels) -> tuple[int, int, int, int]:
    """left, top, right, bottom (the last two excluded) around every pixel that is not black."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def scaled_into_box(ink: Pixels) -> tuple[Pixels, float, float]:
    """The ink with its longer side 20 pixels and its brightest pixel white, the factor of its size and that of its brightness.

    Bicubic and antialiased came nearest to MNIST's own grey edges of the filters tried on enlarged digits of MNIST.
    """
    height, width = ink.shape
    factor = BOX / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    soft = np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    gain = 255 / float(soft.max()) if soft.max() < MNIST_WHITE else 1.0  # thin strokes on a large canvas average to grey
    scaled: Pixels = np.rint((soft * gain).clip(0, 255)).astype(np.uint8)
    return scaled, factor, gain


def centred(ink: Pixels) -> tuple[Pixels, int, int]:
    """In the middle of 28 x 28 by its centre of mass, and by how many pixels that differs from the middle of its box: right, down."""
    height, width = ink.shape
    weights = ink / ink.sum(dtype=np.float64)
    row = _place((weights.sum(1) * np.arange(height)).sum(), height)
    column = _place((weights.sum(0) * np.arange(width)).sum(), width)
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[row : row + height, column : column + width] = ink
    return image, column - (SIDE - width) // 2, row - (SIDE - height) // 2


def _place(centre: float, length: int) -> int:
    """Where `length` pixels start so that `centre` falls on the middle; never outside the image, wherever the ink's weight lies."""
    return int(np.clip(MIDDLE - np.floor(centre + 0.5), 0, SIDE - length))


def shown(ink: Pixels) -> Pixels:
    """The picture of a step, made small."""
    height, width = ink.shape
    factor = SHOWN_SIDE / max(height, width, 1)
    if factor >= 1:
        return ink
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BOX))
