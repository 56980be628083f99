"""Data sets whose name holds a place (image-folder:PATH, pen-strokes:PATH, sketch-digits:PATH) or stands for one (a person's sketches)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_core.data.image_folder import open_image_folder
from resnet_core.data.pen_strokes import open_pen_strokes
from resnet_core.data.reading import Progress
from resnet_core.data.sketch_training import open_sketch_digits
from resnet_core.data.sketches import ALONE, TOGETHER, open_sketches, sketches_folder
from resnet_core.data.source import Source

Opener = Callable[[str, Path, Path, int | None, Progress | None], Source]
"""Given the whole name, the place, the data root, the side of the images (None: their own) and whom to tell of progress."""

NICE = re.compile(r"[^\W_][\w .,+()-]{1,39}")
TELLS_NOTHING = frozenset({"data", "dataset", "datasets", "folder", "image", "images", "photos", "pictures", "strokes"})


@dataclass(frozen=True, kw_only=True)
class PlacedKind:
    """`form` is how its names are written; only a `trainable` one has training images. `home` is where one lies whose name holds no place."""

    form: str
    help: str
    trainable: bool
    open: Opener
    home: Callable[[], Path] | None = None


PLACED: dict[str, PlacedKind] = {
    "image-folder": PlacedKind(
        form="image-folder:PATH",
        help="your own images: PATH/train/CLASS/* and PATH/test/CLASS/*",
        trainable=True,
        open=lambda name, place, root, size, progress: open_image_folder(name, place, root=root, size=size, progress=progress),
    ),
    "pen-strokes": PlacedKind(
        form="pen-strokes:PATH",
        help="digits drawn with a pen (a UNIPEN file), prepared as sketches are; for testing only",
        trainable=False,
        open=lambda name, place, root, size, progress: open_pen_strokes(name, place, size=size),
    ),
    "sketch-digits": PlacedKind(
        form="sketch-digits:PATH",
        help="MNIST and the strokes of 20 writers (a UNIPEN file) drawn by chance: for networks that judge sketches",
        trainable=True,
        open=lambda name, place, root, size, progress: open_sketch_digits(name, place, root=root, size=size, progress=progress),
    ),
    ALONE: PlacedKind(
        form=ALONE,
        help="your own sketches, kept on the Sketch page",
        trainable=True,
        open=lambda name, place, root, size, progress: open_sketches(name, place, size=size),
        home=sketches_folder,
    ),
    TOGETHER: PlacedKind(
        form=TOGETHER,
        help="mnist-mini and your own sketches, these repeated up to a tenth of the training images; tested on MNIST's test images",
        trainable=True,
        open=lambda name, place, root, size, progress: open_sketches(name, place, size=size),
        home=sketches_folder,
    ),
}


def placed(name: str) -> tuple[PlacedKind, Path] | None:
    """The kind and the place of a name that has one, ~ being the home folder; None for every other name."""
    kind, _, place = name.partition(":")
    found = PLACED.get(kind)
    if found is None or bool(place) == (found.home is not None):
        return None
    return found, found.home() if found.home else Path(place).expanduser()


def display_name(dataset: str, known: frozenset[str] = frozenset()) -> str:
    """What people read: the folder's or file's own name where it tells something and is not one of `known`, else the whole name."""
    found = placed(dataset)
    if found is None or found[0].home is not None:
        return dataset
    _, place = found
    own = place.name.removesuffix(".gz").removesuffix(".unipen")
    nice = NICE.fullmatch(own) and own.lower() not in TELLS_NOTHING | known
    return own if nice else dataset
