"""Digits as people draw them on a tablet, by the name pen-strokes:FILE: a test set for networks that will judge sketches.

Alpaydin and Alimoglu, Pen-Based Recognition of Handwritten Digits, UCI Machine Learning Repository 1998 (https://doi.org/10.24432/C5MG6K,
CC BY 4.0), in its original UNIPEN form (Guyon et al. 1994). The strokes are drawn with a round brush on a canvas like the sketch
pad's and prepared as a sketch is, so what the network gets is what it would get from a person.
"""

import gzip
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from resnet_core.data.sketch import SIDE, Pixels, sketch_image
from resnet_core.data.source import Part, Source, resized, resized_spec
from resnet_core.data.spec import DataSpec, Split, digit_spec
from resnet_core.errors import UserError

Points = NDArray[np.float64]

CANVAS = 280  # pixels, as the sketch pad
FINE = 2  # drawn so many times larger and averaged: grey edges, as a browser draws them
BRUSH, SIZE, CENTRE = 20.0, 0.6, (0.5, 0.5)
GRID_BRUSHES, GRID_SIZES = (8.0, 14.0, 20.0, 28.0), (0.4, 0.6, 0.8, 0.95)  # thin to thick, small to large: what people draw
GZIP = b"\x1f\x8b"
SEGMENT = re.compile(r'\.SEGMENT\s+DIGIT\s+(?P<strokes>[\d,-]+)\s+\S+\s+"(?P<label>\d)"\s*$')
COMMENT = re.compile(r"\.COMMENT\s+\d\s+(?P<writer>\d+)\s+\d+\s*$")  # the digit, who wrote it, which of the writer's digits it is


@dataclass(frozen=True, kw_only=True)
class StrokeDigit:
    """`strokes` are (points, 2) as x to the right and y upwards, in units of the tablet; `writer` counts as the file does, from 1."""

    label: int
    writer: int
    strokes: tuple[Points, ...]


def read_unipen(path: Path) -> tuple[StrokeDigit, ...]:
    """Every digit of a UNIPEN file, plain or gzipped, in its order. Raises file_missing or strokes_unreadable."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(GZIP) else raw).decode("latin-1")
        digits = tuple(_digits(text.splitlines()))
        if not digits:
            raise ValueError("it holds no .SEGMENT DIGIT lines")
    except FileNotFoundError as error:
        raise UserError("file_missing", path=path) from error
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise UserError("strokes_unreadable", path=path, reason=getattr(error, "strerror", None) or error) from error
    return digits


def _digits(lines: Sequence[str]) -> Iterator[StrokeDigit]:
    strokes = list(_strokes(lines))
    segment = None
    for line in lines:
        if line.startswith(".SEGMENT"):
            segment = SEGMENT.match(line)
        elif segment is not None and (comment := COMMENT.match(line)):
            own = tuple(strokes[number] for number in _numbers(segment["strokes"]))
            yield StrokeDigit(label=int(segment["label"]), writer=int(comment["writer"]), strokes=own)
            segment = None


def _numbers(text: str) -> Iterator[int]:
    """ "9-11" and "9,10,11" -> 9, 10, 11: which strokes of the file belong to a segment."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _strokes(lines: Sequence[str]) -> Iterator[Points]:
    """What stands between .PEN_DOWN and the next keyword."""
    points: list[str] | None = None
    for line in lines:
        if not line.startswith("."):
            if points is not None:
                points += line.split()
            continue
        if points:
            yield np.array(points, np.float64).reshape(-1, 2)
        points = [] if line.startswith(".PEN_DOWN") else None
    if points:
        raise ValueError("it ends inside a stroke")


def render(
    digit: StrokeDigit, brush: float = BRUSH, size: float = SIZE, place: tuple[float, float] = CENTRE, canvas: int = CANVAS
) -> Pixels:
    """White ink on black, uint8 (canvas, canvas): round strokes `brush` pixels wide.

    The longer side of the digit takes the share `size` of the canvas, and its middle lies at `place`, shares from the left and from
    the top; what the brush leaves outside is cut off.
    """
    low, high = _bounds(digit)
    scale = size * canvas / max(float((high - low).max()), 1e-9)
    middle = np.array(place) * canvas
    picture = Image.new("L", (FINE * canvas, FINE * canvas))
    pen = ImageDraw.Draw(picture)
    for stroke in digit.strokes:
        _draw_stroke(pen, FINE * (middle + (stroke - (low + high) / 2) * (scale, -scale)), FINE * brush)
    return np.asarray(picture.reduce(FINE))


def _draw_stroke(pen: ImageDraw.ImageDraw, points: Points, brush: float) -> None:
    """Pillow counts the middle of the first pixel as 0, and the right and lower ends of what it draws as inside."""
    points, reach = points - 0.5, (brush - 1) / 2
    pen.line(points.ravel().tolist(), fill=255, width=round(brush))
    for x, y in points.tolist():
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)


def _bounds(digit: StrokeDigit) -> tuple[Points, Points]:
    points = np.concatenate(digit.strokes)
    return points.min(0), points.max(0)


def prepared_split(
    digits: Sequence[StrokeDigit],
    brush: float = BRUSH,
    size: float = SIZE,
    seed: int | None = None,
    writers: Collection[int] | None = None,
) -> Split:
    """The digits (of these writers only, where given) drawn and prepared: uint8 (N, 1, 28, 28).

    Without a seed all are drawn in the middle, else each where its numbers fall, as far from the edge as it needs to be whole. A
    digit's place depends on the seed and its position in `digits`, not on which writers are asked for.
    """
    places = _places(digits, brush, size, seed)
    chosen = [(digit, place) for digit, place in zip(digits, places, strict=True) if writers is None or digit.writer in writers]
    images = np.zeros((len(chosen), 1, SIDE, SIDE), np.uint8)

    for image, (digit, place) in zip(images, chosen, strict=True):
        image[0] = sketch_image(render(digit, brush, size, place))
    labels = torch.tensor([digit.label for digit, _ in chosen], dtype=torch.int64)
    return Split(images=torch.from_numpy(images), labels=labels)


def _places(digits: Sequence[StrokeDigit], brush: float, size: float, seed: int | None) -> list[tuple[float, float]]:
    if seed is None:
        return [CENTRE] * len(digits)
    shares = np.random.default_rng(seed).random((len(digits), 2))
    return [place_of(digit, brush, size, share) for digit, share in zip(digits, shares, strict=True)]


def place_of(digit: StrokeDigit, brush: float, size: float, share: Points) -> tuple[float, float]:
    """From as far left and up as the whole digit fits (shares of 0) to as far right and down (1)."""
    low, high = _bounds(digit)
    extent = (high - low) / max(float((high - low).max()), 1e-9) * size + brush / CANVAS
    x, y = 0.5 + (share - 0.5) * np.maximum(1 - extent, 0)
    return float(x), float(y)


def digits_of(digits: Sequence[StrokeDigit], writers: str, path: Path) -> tuple[StrokeDigit, ...]:
    """Those of the writers "21-30" or "3,7,21-30"; raises no_such_writers when there are none."""
    try:
        wanted = frozenset(_numbers(writers))
    except ValueError:
        wanted = frozenset()
    found = tuple(digit for digit in digits if digit.writer in wanted)
    if not found:
        known = sorted({digit.writer for digit in digits})
        raise UserError("no_such_writers", path=path, value=writers, first=known[0], last=known[-1])
    return found


def open_pen_strokes(name: str, path: Path, *, size: int | None = None) -> Source:
    """A test part alone, every digit of the file at the defaults; normalised as MNIST is, since it is for networks trained on that."""
    digits = read_unipen(path)
    spec = resized_spec(digit_spec(name), size)
    return Source(spec=spec, counts={"train": 0, "test": len(digits)}, read=partial(_read, name, digits, spec))


def _read(name: str, digits: tuple[StrokeDigit, ...], spec: DataSpec, part: Part) -> Split:
    if part != "test":
        raise UserError("test_only", field="dataset", name=name)
    split = prepared_split(digits)
    return Split(images=resized(split.images, spec), labels=split.labels)
