"""MNIST and pen strokes together, by the name sketch-digits:FILE: what a network that will judge sketches is trained on.

The strokes of the first 20 writers of a UNIPEN file (see pen_strokes.py) are drawn several times each, as other people with other pens
might have drawn them: brush, size and place on the canvas, slant, tilt and proportions are drawn at random, and the lines bend a
little. The writers after them are never looked at, so they can test the network. The test part is MNIST's own.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_core.data.array_cache import FOLDER, ArrayCache
from resnet_core.data.pen_strokes import Points, StrokeDigit, place_of, read_unipen, render
from resnet_core.data.reading import Progress
from resnet_core.data.sketch import SIDE, sketch_image
from resnet_core.data.source import Part, Source, resized, resized_spec
from resnet_core.data.spec import DataSpec, Split, digit_spec
from resnet_core.data.torchvision_sets import read_torchvision
from resnet_core.errors import UserError

TRAINING_WRITERS = range(1, 21)
DRAWINGS = 12  # of every digit: with 20 writers about as many images as MNIST has
BRUSH, SIZE = (8.0, 28.0), (0.38, 0.97)  # pixels on the canvas of 280, share of its side
SLANT, TILT, STRETCH, BEND = 0.3, 10.0, 0.2, 0.03  # tangent, degrees, log of the ratio of the sides, share of the digit's size
MNIST_TRAIN, MNIST_TEST = 60_000, 10_000
VERSION = 1  # of the drawing: a kept array of another version is made again


def open_sketch_digits(name: str, path: Path, *, root: Path, size: int | None = None, progress: Progress | None = None) -> Source:
    """MNIST's training images followed by the drawings, MNIST's test images. Raises data_missing, file_missing, strokes_unreadable."""
    if not all((root / "MNIST" / "raw" / f"{part}-images-idx3-ubyte").exists() for part in ("train", "t10k")):
        raise UserError("data_missing", field="dataset", name="mnist", path=root)
    digits = [digit for digit in read_unipen(path) if digit.writer in TRAINING_WRITERS]
    spec = resized_spec(digit_spec(name), size)
    counts: dict[Part, int] = {"train": MNIST_TRAIN + DRAWINGS * len(digits), "test": MNIST_TEST}
    return Source(spec=spec, counts=counts, read=partial(_read, digits, path, root, spec, progress))


def _read(digits: Sequence[StrokeDigit], path: Path, root: Path, spec: DataSpec, progress: Progress | None, part: Part) -> Split:
    split = read_torchvision("MNIST", digit_spec("mnist"), root, part)
    if part == "train":
        drawn = _kept_drawings(digits, path, root, progress)
        split = Split(images=torch.cat([split.images, drawn.images]), labels=torch.cat([split.labels, drawn.labels]))
    return Split(images=resized(split.images, spec), labels=split.labels)


def _kept_drawings(digits: Sequence[StrokeDigit], path: Path, root: Path, progress: Progress | None) -> Split:
    """Drawn once and kept under the data root: it takes a minute or two."""
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    key = f"{content} {VERSION} {DRAWINGS} {BRUSH} {SIZE} {SLANT} {TILT} {STRETCH} {BEND}"
    cache = ArrayCache(file=root / FOLDER / f"sketch-digits-{content[:12]}.npz", key=key)
    if (kept := cache.read("images", "labels")) is not None:
        return Split(images=torch.from_numpy(kept[0]), labels=torch.from_numpy(kept[1]))
    split = drawings(digits, DRAWINGS, progress=progress)
    cache.write(images=split.images.numpy(), labels=split.labels.numpy())
    return split


def drawings(digits: Sequence[StrokeDigit], times: int, *, seed: int = 0, progress: Progress | None = None) -> Split:
    """Every digit drawn so many times by chance and prepared: uint8 (len(digits) * times, 1, 28, 28), one round after another."""
    random = np.random.default_rng(seed)
    images = np.zeros((times * len(digits), 1, SIDE, SIDE), np.uint8)
    for index, image in enumerate(images):
        brush, size, share = random.uniform(*BRUSH), random.uniform(*SIZE), random.random(2)
        digit = redrawn(digits[index % len(digits)], random)
        image[0] = sketch_image(render(digit, brush, size, place_of(digit, brush, size, share)))
        if progress is not None and index % 1000 == 0:
            progress(index, len(images))
    labels = torch.tensor([digit.label for digit in digits] * times, dtype=torch.int64)
    return Split(images=torch.from_numpy(images), labels=labels)


def redrawn(digit: StrokeDigit, random: np.random.Generator) -> StrokeDigit:
    """The digit slanted, tilted, stretched and bent by chance; as many strokes and points as before."""
    slant, tilt = random.uniform(-SLANT, SLANT), math.radians(random.uniform(-TILT, TILT))
    stretch = math.exp(random.uniform(-STRETCH, STRETCH) / 2)
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    matrix = turn @ np.array([[1, slant], [0, 1]]) @ np.diag([stretch, 1 / stretch])
    bend = _bend(np.concatenate(digit.strokes), random)
    return StrokeDigit(label=digit.label, writer=digit.writer, strokes=tuple(bend(stroke) @ matrix.T for stroke in digit.strokes))


def _bend(points: Points, random: np.random.Generator) -> Callable[[Points], Points]:
    """A smooth displacement of the whole digit: one wave along each side for each direction."""
    low = points.min(0)
    extent = max(float((points.max(0) - low).max()), 1e-9)
    waves: NDArray[np.float64] = random.uniform(0.5, 1.5, (2, 2))  # direction moved, side that it depends on
    phases, sizes = random.uniform(0, 2 * math.pi, (2, 2)), random.normal(0, BEND, (2, 2)) * extent

    def bent(stroke: Points) -> Points:
        place = (stroke - low) / extent
        moves = sizes * np.sin(2 * math.pi * waves * place[:, None, :] + phases)
        result: Points = stroke + moves.sum(2)
        return result

    return bent
