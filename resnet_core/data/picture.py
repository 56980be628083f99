"""Any picture of a person as a network gets it: whole, squeezed to the network's square, grey or in colour as its data are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_core.data.reading import decoded, flattened, frame_count, header_read
from resnet_core.data.spec import DataSpec

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PreparedPicture:
    """`pixels` (C, H, W) uint8. `channels` is how many the file itself had (1 or 3) and `frames` how many pictures, of which the first
    is used: who shows it can say that it was changed."""

    pixels: Pixels
    channels: int
    frames: int


def prepare_picture(content: bytes, name: str, spec: DataSpec) -> PreparedPicture:
    """A file's bytes for a network of these data. Raises image_unreadable or image_too_large, with `name` for the file."""
    opened = header_read(content, name)
    frames = frame_count(opened, name)
    image = flattened(decoded(opened, name, 2 * max(spec.height, spec.width)))
    has_colour = image.mode != "L" and bool(np.ptp(np.asarray(image), axis=2).any())
    return PreparedPicture(pixels=squeezed(image, spec.channels, spec.height, spec.width), channels=3 if has_colour else 1, frames=frames)


def squeezed(image: Image.Image, channels: int, height: int, width: int) -> Pixels:
    """(channels, height, width) of the whole image, antialiased; an L or RGB image in, grey or colour out."""
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))
