"""A person's own sketches with the digit that they mean, as PNGs in folders beside the runs: $RESNET_RUNS/sketches/{train,test}/DIGIT/*.png.

Each holds the ink as it was drawn, white on black, and is prepared when it is read, so a network gets what it got on the page. Of every
digit the first sketch is for testing, then two for training, and so on: what a network is trained on never judges it. The folder can also
be opened as image-folder:PATH, though that squeezes the drawings instead of preparing them.
"""

import io
import os
import secrets
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.data.reading import flattened, open_image
from resnet_core.data.sketch import SIDE, Pixels, prepare_sketch, sketch_image
from resnet_core.data.source import Part, Source, resized, resized_spec
from resnet_core.data.spec import DIGITS, Split, digit_spec
from resnet_core.errors import UserError
from resnet_core.writing import writing_to

ROUND = ("test", "train", "train")  # where the first, second, third sketch of a digit go, and so on
SHARE, MOST_COPIES = 0.1, 50  # with mnist-mini, sketches are repeated until they are this share of the training images
ALONE, TOGETHER = "sketches", "mnist-mini+sketches"


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """One of them; `name` tells it from all others of its folder."""

    name: str
    label: str
    part: str
    path: Path

    @property
    def ink(self) -> Pixels:
        """White on black (H, W), as it was drawn. Raises image_unreadable for a file that was damaged since."""
        return np.asarray(flattened(open_image(self.path)).convert("L"))


def sketches_folder() -> Path:
    return Path(os.environ.get("RESNET_RUNS") or "runs") / ALONE


def sketches(folder: Path | None = None) -> tuple[Sketch, ...]:
    """All of them, the newest first."""
    folder = folder or sketches_folder()
    found = [
        Sketch(name=file.stem, label=label, part=part, path=file)
        for part in ("train", "test")
        for label in DIGITS
        for file in (folder / part / label).glob("*.png")
        if not file.name.startswith(".")
    ]
    return tuple(sorted(found, key=lambda sketch: sketch.name, reverse=True))


def keep_sketch(ink: Pixels, label: str, folder: Path | None = None) -> Sketch:
    """Raises not_a_choice for a label that is no digit, no_ink for an empty drawing, disk_full or not_writable."""
    if label not in DIGITS:
        raise UserError("not_a_choice", field="label", value=label, choices=", ".join(DIGITS))
    if prepare_sketch(ink).empty:
        raise UserError("no_ink", path="sketch")
    folder = folder or sketches_folder()
    part = ROUND[sum(sketch.label == label for sketch in sketches(folder)) % len(ROUND)]
    name = f"{time.time_ns():020d}-{secrets.token_hex(2)}"
    file = folder / part / label / f"{name}.png"
    with writing_to(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        hidden = file.with_name(f".{file.name}")
        Image.fromarray(np.ascontiguousarray(ink)).save(hidden, "PNG")
        hidden.replace(file)
    return Sketch(name=name, label=label, part=part, path=file)


def forget_sketch(name: str, folder: Path | None = None) -> None:
    """One that is gone already is no mistake."""
    for sketch in sketches(folder):
        if sketch.name == name:
            with writing_to(sketch.path):
                sketch.path.unlink(missing_ok=True)


def forget_sketches(folder: Path | None = None) -> None:
    for sketch in sketches(folder):
        forget_sketch(sketch.name, folder)


def zipped_sketches(folder: Path | None = None) -> bytes:
    """A zip of PNGs by part and digit."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # PNGs are small already
        for sketch in reversed(sketches(folder)):
            archive.writestr(f"sketches/{sketch.part}/{sketch.label}/{sketch.name}.png", sketch.path.read_bytes())
    return file.getvalue()


def prepared_sketches(found: tuple[Sketch, ...]) -> Split:
    """uint8 (N, 1, 28, 28) as networks get them."""
    images = np.zeros((len(found), 1, SIDE, SIDE), np.uint8)
    for image, sketch in zip(images, found, strict=True):
        image[0] = sketch_image(sketch.ink)
    return Split(images=torch.from_numpy(images), labels=torch.tensor([int(sketch.label) for sketch in found], dtype=torch.int64))


def open_sketches(name: str, folder: Path, *, size: int | None = None) -> Source:
    """`sketches` alone, or after mnist-mini's training images with its test images; raises no_sketches where there are none."""
    found = sketches(folder)
    kept: dict[str, tuple[Sketch, ...]] = {part: tuple(s for s in found if s.part == part) for part in ("train", "test")}
    if not found:
        raise UserError("no_sketches", field="dataset")
    spec = resized_spec(digit_spec(name), size)
    copies = _copies(len(kept["train"]))
    counts: dict[Part, int] = {"train": len(kept["train"]), "test": len(kept["test"])}
    if name == TOGETHER:
        counts = {"train": 10_000 + copies * len(kept["train"]), "test": 10_000}

    def read(part: Part) -> Split:
        split = prepared_sketches(kept[part])
        if name == TOGETHER:
            split = read_mnist_mini(part) if part == "test" else _after_mnist(split, copies)
        elif not len(split):
            raise UserError("too_few_images", name=name, count=0, split=part, need=1)
        return Split(images=resized(split.images, spec), labels=split.labels)

    return Source(spec=spec, counts=counts, read=read)


def _after_mnist(split: Split, copies: int) -> Split:
    mnist = read_mnist_mini("train")
    return Split(
        images=torch.cat([mnist.images, split.images.repeat(copies, 1, 1, 1)]),
        labels=torch.cat([mnist.labels, split.labels.repeat(copies)]),
    )


def _copies(count: int) -> int:
    return min(MOST_COPIES, max(1, round(SHARE * 10_000 / count))) if count else 0
