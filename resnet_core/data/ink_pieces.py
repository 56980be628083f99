"""Connected pieces of ink, and which of them are not part of a digit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Mask = NDArray[np.bool_]

SPECK = 0.04  # of the largest piece: what is smaller is dirt
BAND = 0.25  # of a side: a frame, a dark table, a dark corner stay within this distance of the edge
WITHIN_BAND = 0.95  # share of its pixels
SPANS, LINE = 0.95, 0.12  # of a side: what runs from edge to edge and is no thicker than this is a ruled line


@dataclass(frozen=True, kw_only=True)
class DigitPieces:
    """`mask` (H, W): what belongs to the digit and one pixel around it; `removed` counts the pieces that do not."""

    mask: Mask
    removed: int


def digit_pieces(ink: Mask) -> DigitPieces:
    """Take away frames, ruled lines and specks; where nothing else would remain, frames and lines stay."""
    pieces = connected_pieces(grown(ink))
    digits = [piece for piece in pieces if not is_frame(piece) and not is_line(piece)] or pieces
    largest = max((piece.sum() for piece in digits), default=0)
    kept = [piece for piece in digits if piece.sum() >= SPECK * largest]
    return DigitPieces(mask=np.logical_or.reduce([np.zeros_like(ink), *kept]), removed=len(pieces) - len(kept))


def grown(mask: Mask) -> Mask:
    """One pixel larger on every side, so that strokes that touch at a corner, or nearly, are one piece."""
    return np.asarray(_picture(mask).filter(ImageFilter.MaxFilter(3))) > 0


def connected_pieces(mask: Mask) -> list[Mask]:
    """One mask (H, W) per piece, connected by its sides."""
    left, pieces = mask, []
    while left.any():
        row, column = np.unravel_index(left.argmax(), left.shape)
        picture = _picture(left).copy()  # what comes from an array is read-only: filling it would change nothing
        ImageDraw.floodfill(picture, (int(column), int(row)), 2)
        piece = np.asarray(picture) == 2
        pieces.append(piece)
        left = left & ~piece
    return pieces


def is_frame(piece: Mask) -> bool:
    """Covers a corner of the image and stays near its edge."""
    height, width = piece.shape
    rows, columns = round(height * BAND), round(width * BAND)
    inner = piece[rows : height - rows, columns : width - columns].sum()
    corners = piece[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(corners.any() and inner <= (1 - WITHIN_BAND) * piece.sum())


def is_line(piece: Mask) -> bool:
    """Runs from edge to edge and is thin."""
    tall, wide = (np.ptp(np.flatnonzero(piece.any(axis))) + 1 for axis in (1, 0))
    height, width = piece.shape
    return bool((wide >= SPANS * width and tall <= LINE * height) or (tall >= SPANS * height and wide <= LINE * width))


def _picture(mask: Mask) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8))
