"""Image files of people, opened so that nothing they hold can do harm: size is looked at before anything is decoded."""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from resnet_core.errors import UserError

Progress = Callable[[int, int | None], None]
"""Told how much is done so far and how much there is in all: bytes of a download, images of a folder."""

MOST_PIXELS = 64_000_000  # decoded to 8-bit RGB: 192 MB; the largest phone cameras in daily use stay below
BROKEN = (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, struct.error, MemoryError)
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
PROGRAMS = ("EPS",)  # Pillow would hand these to Ghostscript, which runs them
DEEP = ("I", "F")  # modes of more than 8 bits


def open_image(source: bytes | Path, name: str | None = None, *, least_side: int | None = None) -> Image.Image:
    """The first frame, decoded and upright as its EXIF says; `name` is what an error calls it.

    With `least_side` a JPEG may come smaller than it is, which is quicker, but with sides no shorter than that.
    Raises file_missing, image_too_large or image_unreadable.
    """
    name = name or (str(source) if isinstance(source, Path) else "image")
    return decoded(header_read(source, name), name, least_side)


def header_read(source: bytes | Path, name: str) -> Image.Image:
    """The image with its size known and nothing decoded yet."""
    with _readable(name):
        raw = source.read_bytes() if isinstance(source, Path) else source
        try:
            return Image.open(io.BytesIO(raw), formats=safe_formats())
        except BOMBS as error:
            size = _header_size(raw)
            raise _too_large(name, *size) if size else error from None


@cache
def safe_formats() -> tuple[str, ...]:
    """Every format that Pillow reads by itself."""
    Image.init()
    return tuple(kind for kind in Image.ID if kind in Image.OPEN and kind not in PROGRAMS)


def decoded(image: Image.Image, name: str, least_side: int | None = None) -> Image.Image:
    """What `open_image` does after the header was read."""
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(name, image.width, image.height)
    with _readable(name):
        if least_side is not None:
            image.draft(None, (least_side, least_side))
        image.load()
        return ImageOps.exif_transpose(image)


def frame_count(image: Image.Image, name: str) -> int:
    """How many pictures an animation or a paged file holds."""
    with _readable(name):
        return int(getattr(image, "n_frames", 1))


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what Pillow raises for a bad file into a UserError."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError("file_missing", path=name) from error
    except UnidentifiedImageError as error:
        raise UserError("image_unreadable", path=name, reason="not an image in a known format") from error
    except (*BROKEN, *BOMBS) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError("image_unreadable", path=name, reason=reason) from error


def _too_large(name: str, width: int, height: int) -> UserError:
    return UserError("image_too_large", path=name, width=width, height=height, limit=f"{MOST_PIXELS:,}")


def _header_size(raw: bytes) -> tuple[int, int] | None:
    """Width and height by the header alone, for a file that Pillow refuses to open because of them; None where it refuses even that."""
    for factory, accepts in (Image.OPEN[kind] for kind in safe_formats()):
        if accepts is None or accepts(raw[:16]) is True:
            try:
                return factory(io.BytesIO(raw), "").size
            except (*BROKEN, *BOMBS):
                continue
    return None


def flattened(image: Image.Image) -> Image.Image:
    """The image as L or RGB: deep ones scaled by their own range, transparent ones laid on the ground opposite to their ink."""
    if image.mode.startswith(DEEP):
        return _shallow(image)
    if image.mode == "LAB":  # Pillow turns it into RGB by colour profiles only; its lightness is gray already
        return image.getchannel("L")
    if image.has_transparency_data:
        return _on_ground(image.convert("RGBA"))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """Sixteen bits and more: from the darkest to the brightest value there is."""
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    span = values.max() - values.min()
    return Image.fromarray(np.rint((values - values.min()) * (255 / span if span else 0)).astype(np.uint8))


def _on_ground(image: Image.Image) -> Image.Image:
    """Bright ink on black, dark ink on white: what is drawn on a transparent ground must not sink into it."""
    pixels = np.asarray(image, np.float64)
    alpha = pixels[..., 3:] / 255
    brightness = (pixels[..., :3] * alpha).sum() / max(3 * alpha.sum(), 1e-9)
    ground = 0 if brightness > 127 else 255
    return Image.fromarray(np.rint(pixels[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8))
