"""What remains of a digit without one of its parts: which digit would it be then?

A drawing's parts are its strokes, or the three thirds of a single stroke; a photo's are its connected pieces, or three bands of
a single one. What is left is prepared anew, as if it had been drawn so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from resnet_core.data.ink_pieces import connected_pieces, grown
from resnet_core.data.sketch import VISIBLE, Pixels, ink_box

Mask = NDArray[np.bool_]
Kind = Literal["stroke", "third", "piece", "band"]

PARTS = 3  # of what is in one piece
MOST_PIECES = 8  # more are no strokes any more
LEAST_PIECE = 0.02  # of the ink: what is smaller is a speck


@dataclass(frozen=True, kw_only=True)
class Line:
    """One stroke of a round brush: points (n, 2) as x to the right and y downwards, in pixels of the drawing."""

    points: NDArray[np.float64]
    width: float


@dataclass(frozen=True, kw_only=True)
class Erased:
    """The ink without part `number` (from 1) of so many of its kind, and where that part was (H, W)."""

    kind: Kind
    number: int
    parts: int
    ink: Pixels
    part: Mask


def erasures(ink: Pixels, lines: Sequence[Line] = ()) -> tuple[Erased, ...]:
    """One for every part of bright ink on black (H, W); `lines` are the strokes it was drawn with, where that is known."""
    if ink.max(initial=0) < VISIBLE:
        return ()
    kind, masks = _parts(ink, lines)
    return tuple(
        Erased(kind=kind, number=number, parts=len(masks), ink=np.where(mask, 0, ink).astype(np.uint8), part=mask & (ink > 0))
        for number, mask in enumerate(masks, start=1)
    )


def _parts(ink: Pixels, lines: Sequence[Line]) -> tuple[Kind, list[Mask]]:
    if len(lines) > 1 or (lines and _length(lines[0]) < 2 * lines[0].width):
        return "stroke", list(_alone(lines, ink.shape))
    if lines:
        return "third", list(_alone(thirds(lines[0]), ink.shape))
    pieces = connected_pieces(grown(ink >= VISIBLE))
    pieces = [piece for piece in pieces if ink[piece].sum(dtype=np.int64) >= LEAST_PIECE * ink.sum(dtype=np.int64)]
    if 1 < len(pieces) <= MOST_PIECES:
        return "piece", sorted(pieces, key=lambda piece: int(np.flatnonzero(piece.any(0))[0]))
    return "band", list(_bands(ink))


def _alone(lines: Sequence[Line], shape: tuple[int, ...]) -> Iterator[Mask]:
    """Where each line lies and no other does, its soft edge included."""
    masks = [mask_of(line, shape) for line in lines]
    for number, mask in enumerate(masks):
        others = np.logical_or.reduce([np.zeros(shape, bool), *(other for place, other in enumerate(masks) if place != number)])
        yield mask & ~others


def mask_of(line: Line, shape: tuple[int, ...]) -> Mask:
    """What the brush covers, and one pixel around it."""
    picture = Image.new("L", (shape[1], shape[0]))
    pen, reach = ImageDraw.Draw(picture), line.width / 2
    pen.line(line.points.ravel().tolist(), fill=1, width=max(1, round(line.width)))
    for x, y in line.points.tolist():
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=1)
    return np.asarray(picture.filter(ImageFilter.MaxFilter(3))) > 0


def _length(line: Line) -> float:
    return float(np.hypot(*np.diff(line.points, axis=0).T).sum())


def thirds(line: Line) -> tuple[Line, ...]:
    """A stroke cut into PARTS of equal length."""
    steps = np.hypot(*np.diff(line.points, axis=0).T)
    along = np.concatenate([[0.0], steps.cumsum()])
    cuts = np.linspace(0, along[-1], PARTS + 1)
    parts = []
    for start, end in pairwise(cuts):
        places = np.concatenate([[start], along[(along > start) & (along < end)], [end]])
        points = np.stack([np.interp(places, along, line.points[:, axis]) for axis in (0, 1)], axis=1)
        parts.append(Line(points=points, width=line.width))
    return tuple(parts)


def _bands(ink: Pixels) -> Iterator[Mask]:
    """Top, middle and bottom of the ink's box."""
    _, top, _, bottom = ink_box(np.where(ink >= VISIBLE, ink, 0).astype(np.uint8))
    for start, end in pairwise(np.linspace(top, bottom, PARTS + 1).round().astype(int)):
        mask = np.zeros(ink.shape, bool)
        mask[start:end] = True
        yield mask
