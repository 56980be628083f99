"""A photo or scan of a handwritten digit becomes white ink on black, and then a sketch like any other.

Paper is what remains when strokes are taken out (a morphological opening), so shadows and uneven light go with it. Frames, ruled lines
and specks are told from the digit by their shape.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from resnet_core.data.ink_pieces import digit_pieces
from resnet_core.data.reading import decoded, flattened, header_read
from resnet_core.data.sketch import Pixels, PreparedSketch, SketchStep, prepare_sketch, shown

Floats = NDArray[np.float32]

WORK_SIDE = 512  # a digit in a photo needs no more
SMALL_SIDE = 128  # paper and shapes are found at this size, where noise has averaged out
WIDEST_STROKE = 1 / 3  # of the longer side: anything wider is paper
LEAST_CONTRAST = 24  # of 255, between ink and paper
LEAST_SEPARATION = 6  # the same, in standard deviations of the paper's noise


def prepare_photo(source: bytes | Path | str | Image.Image, name: str | None = None) -> PreparedSketch:
    """An uploaded file (its bytes, its path, or opened by Pillow) -> the 28 x 28 image, with two steps before those of a sketch.

    Dark ink on light paper and light ink on dark are both understood. Raises file_missing, image_unreadable or image_too_large.
    """
    upright, width, height = _opened(source, name)
    gray = flattened(upright).convert("L")
    gray.thumbnail((WORK_SIDE, WORK_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(gray, np.float32)
    inverted = ink_is_dark(pixels)
    size = {"width": width, "height": height, "inverted": int(inverted)}
    found = find_ink(255 - pixels if inverted else pixels)
    steps = (
        SketchStep(name="photo", image=shown(np.asarray(gray)), values=size),
        SketchStep(name="ink", image=shown(found.ink), values={"contrast": found.contrast, "removed": found.removed}),
    )
    sketch = prepare_sketch(found.ink)
    return PreparedSketch(image=sketch.image, ink=sketch.ink, empty=sketch.empty, steps=(*steps, *sketch.steps))


def _opened(source: bytes | Path | str | Image.Image, name: str | None) -> tuple[Image.Image, int, int]:
    """The image upright, perhaps decoded smaller, and the width and height that it has in full."""
    name = name or (str(source) if isinstance(source, str | Path) else "image")
    source = Path(source) if isinstance(source, str) else source
    image = source if isinstance(source, Image.Image) else header_read(source, name)
    sides = image.size
    upright = decoded(image, name, WORK_SIDE)
    turned = (upright.width < upright.height) != (sides[0] < sides[1])
    return (upright, *(reversed(sides) if turned else sides))


def ink_is_dark(pixels: Floats) -> bool:
    """Most of an image is paper, so its ink lies on the side of the median where the values reach further.

    Third powers let few strong pixels outweigh many weak ones: a small digit outweighs a shadow, which percentiles would miss.
    """
    return bool(((pixels - np.median(pixels)) ** 3).mean() < 0)


@dataclass(frozen=True, kw_only=True)
class FoundInk:
    """White ink on black (H, W), its contrast with the paper (of 255), and how many pieces that are no digit were taken away."""

    ink: Pixels
    contrast: float
    removed: int


def find_ink(pixels: Floats) -> FoundInk:
    """Bright ink on darker paper (H, W), 0 to 255 -> ink alone; black all over where there is none."""
    height, width = pixels.shape
    small = resized_to(pixels, *_small_size(width, height))
    paper = paper_under(small)
    above = small - paper
    level = otsu_level(above)
    contrast, noise = _contrast(above, level)
    if contrast < max(LEAST_CONTRAST, LEAST_SEPARATION * noise):
        return FoundInk(ink=np.zeros((height, width), np.uint8), contrast=contrast, removed=0)
    pieces = digit_pieces(above > level)
    near_ink = resized_to(pieces.mask.astype(np.float32), width, height) > 0
    ink = stretched(pixels - resized_to(paper, width, height), near_ink, level)
    return FoundInk(ink=ink, contrast=contrast, removed=pieces.removed)


def paper_under(pixels: Floats) -> Floats:
    """The paper's own brightness: everything brighter and narrower than the widest stroke taken out."""
    widest = 2 * round(max(pixels.shape) * WIDEST_STROKE / 2) + 1
    return _brightest(-_brightest(-pixels, widest), widest)


def _brightest(pixels: Floats, side: int) -> Floats:
    """Of the square of this side around each pixel, what lies outside the image not counting."""
    image = torch.from_numpy(pixels)[None, None]
    for window in ((side, 1), (1, side)):
        image = functional.max_pool2d(image, window, stride=1, padding=(window[0] // 2, window[1] // 2))
    return image[0, 0].numpy()


def otsu_level(values: Floats) -> float:
    """The level that parts values of 0 to 255 into two classes with the least variance inside them (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256, range=(0, 256))
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * edges[:-1]).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[int(np.nanargmax(np.nan_to_num(between))) + 1])


def _contrast(above: Floats, level: float) -> tuple[float, float]:
    """Between the typical ink and the typical paper, and the standard deviation of the paper's noise."""
    ink, paper = above[above > level], above[above <= level]
    if not ink.size or not paper.size:
        return 0.0, 0.0
    return float(np.median(ink) - np.median(paper)), _deviation(paper)


def _deviation(values: Floats) -> float:
    """The standard deviation by the median distance from the median, which single large values do not move."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def stretched(above: Floats, near_ink: NDArray[np.bool_], level: float) -> Pixels:
    """Ink from the end of the paper's noise (black) to its own usual brightness (white); black wherever no ink is near."""
    paper, strong = above[~near_ink], above[near_ink & (above > level)]
    floor = float(np.median(paper)) + 3 * _deviation(paper) if paper.size else 0.0
    full = float(np.percentile(strong, 75)) if strong.size else level
    ink: Pixels = np.rint(((above - floor) * (255 / max(full - floor, 1)) * near_ink).clip(0, 255)).astype(np.uint8)
    return ink


def _small_size(width: int, height: int) -> tuple[int, int]:
    factor = min(1, SMALL_SIDE / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def resized_to(pixels: Floats, width: int, height: int) -> Floats:
    """Averaged where it becomes smaller, bilinear where larger."""
    if pixels.shape == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
