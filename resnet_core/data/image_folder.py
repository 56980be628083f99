"""A person's own images: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, by the name image-folder:FOLDER.

Every image becomes a square of `size` pixels, the whole of it: one that is wider than tall is squeezed, never cropped. Up to 64 training
images, evenly spaced over all of them, decide about colour: if each is gray (by its mode, or because red, green and blue are equal
everywhere) the set has 1 channel and all other images are turned gray too, else it has 3. Mean and standard deviation are those of
the training images at that size.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resnet_core.data.array_cache import FOLDER as CACHE_FOLDER
from resnet_core.data.array_cache import ArrayCache
from resnet_core.data.reading import Progress, flattened, open_image, safe_formats
from resnet_core.data.source import Part, Source
from resnet_core.data.spec import DataSpec, Split
from resnet_core.data.streaming import FileImages, Pixels, decoded_files, image_budget
from resnet_core.errors import UserError

Statistics = NDArray[np.float64]

DEFAULT_SIZE = 32
COLOUR_SAMPLE = 64  # images that are looked at for colour
MEASURED_AT_ONCE = 4096  # images, where not all fit into memory
LEAST_DEVIATION = 1 / 255  # one-coloured images must not divide by 0
VERSION = 1  # of how images are read: a new one leaves older caches aside


@dataclass(frozen=True, kw_only=True)
class FolderPart:
    """train/ or test/: its image files by class, then by name, and the label of each."""

    folder: Path
    files: tuple[Path, ...]
    labels: NDArray[np.int64]

    @cached_property
    def fingerprint(self) -> str:
        """Another one when a file is added, taken away, renamed or written to; costs one stat per file."""
        digest = hashlib.sha256()
        for file in self.files:
            status = file.stat()
            digest.update(os.fsencode(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n"))
        return digest.hexdigest()


def open_image_folder(name: str, folder: Path, *, root: Path, size: int | None = None, progress: Progress | None = None) -> Source:
    """Classes and counts from the folder's listing, normalisation from its training images; test images are read when asked for.

    Decoded images are kept in a file under `root`, so only the first opening, and the first after a change, decodes. Where a part's
    images do not fit into memory (`image_budget`), they are decoded as they are needed instead. Raises
    folder_missing, folder_one_class, folder_classes_differ, folder_empty_class, and image_unreadable or image_too_large for a file.
    """
    classes, parts = listed(folder)
    reader = _Reader(parts=parts, root=root, size=size or DEFAULT_SIZE, progress=progress)
    mean, std = reader.statistics()
    side = reader.size
    spec = DataSpec(name=name, channels=len(mean), height=side, width=side, classes=classes, mean=mean, std=std)
    counts = {part: len(parts[part].files) for part in parts}
    return Source(spec=spec, counts=counts, read=lambda part: reader.split(part, spec.channels))


def listed(folder: Path) -> tuple[tuple[str, ...], dict[Part, FolderPart]]:
    """The class names, sorted, and both parts; test/ may lack a class, but has none that train/ lacks."""
    for place in (folder, folder / "train", folder / "test"):
        if not place.is_dir():
            raise UserError("folder_missing", field="dataset", path=place)
    try:
        return _listed(folder)
    except OSError as error:
        raise UserError("image_unreadable", field="dataset", path=error.filename, reason=error.strerror) from error


def _listed(folder: Path) -> tuple[tuple[str, ...], dict[Part, FolderPart]]:
    classes = _class_names(folder / "train")
    if len(classes) < 2:
        raise UserError("folder_one_class", field="dataset", path=folder, count=len(classes))
    for name in _class_names(folder / "test"):
        if name not in classes:
            raise UserError("folder_classes_differ", field="dataset", path=folder, value=name)
    return classes, {"train": _part(folder / "train", classes), "test": _part(folder / "test", classes)}


def _class_names(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))


def _part(folder: Path, classes: tuple[str, ...]) -> FolderPart:
    by_class = [_images(folder / name) if (folder / name).is_dir() else [] for name in classes]
    if not any(by_class):
        raise UserError("folder_empty_class", field="dataset", path=folder)
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in by_class])
    return FolderPart(folder=folder, files=tuple(file for files in by_class for file in files), labels=labels)


def _images(folder: Path) -> list[Path]:
    """Files whose name ends as an image's does (notes, hidden files and folders inside are left aside), sorted."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    files = [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in _image_endings()]
    if not files:
        raise UserError("folder_empty_class", field="dataset", path=folder)
    return files


@cache
def _image_endings() -> frozenset[str]:
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in safe_formats())


class _Reader:
    """Both parts as arrays, from their cache where it is good. Training images that were decoded to be measured are handed on once."""

    def __init__(self, *, parts: dict[Part, FolderPart], root: Path, size: int, progress: Progress | None) -> None:
        self.parts, self.root, self.size, self.progress = parts, root, size, progress
        self._measured: Pixels | None = None

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel; their number tells whether the set has colour."""
        store = self._cache("train")
        kept = store.read("mean", "std")
        if kept is None:
            channels = 1 if is_gray(self.parts["train"].files) else 3
            if self._streams("train", channels):
                kept = self._measured_in_pieces(channels)
                store.write(mean=kept[0], std=kept[1])
                return _plain(kept)
            images = self._decoded("train", channels)
            kept = measured(images)
            store.write(mean=kept[0], std=kept[1], images=images)
            self._measured = images
        return _plain(kept)

    def _streams(self, part: Part, channels: int) -> bool:
        return self._files(part, channels).nbytes > image_budget()

    def _files(self, part: Part, channels: int) -> FileImages:
        return FileImages(files=self.parts[part].files, channels=channels, size=self.size)

    def _measured_in_pieces(self, channels: int) -> tuple[Statistics, Statistics]:
        """The same numbers as from all images at once, since they come from exact counts."""
        images, counts = self._files("train", channels), np.zeros((channels, 256), np.int64)
        for start in range(0, len(images), MEASURED_AT_ONCE):
            counts += counted(images[start : start + MEASURED_AT_ONCE].numpy())
            if self.progress is not None:
                self.progress(min(start + MEASURED_AT_ONCE, len(images)), len(images))
        return statistics_of(counts)

    def split(self, part: Part, channels: int) -> Split:
        """uint8 images (N, channels, size, size)."""
        labels = torch.from_numpy(self.parts[part].labels.copy())
        if self._streams(part, channels):
            return Split(images=cast(torch.Tensor, self._files(part, channels)), labels=labels)
        if part == "train" and self._measured is not None:
            images, self._measured = self._measured, None
        else:
            images = self._kept(part, channels)
        return Split(images=torch.from_numpy(images), labels=labels)

    def _kept(self, part: Part, channels: int) -> Pixels:
        store = self._cache(part, *([channels] if part == "test" else []))
        kept = store.read("images")
        if kept is not None and kept[0].shape == (len(self.parts[part].files), channels, self.size, self.size):
            return kept[0]
        images = self._decoded(part, channels)
        mean, std = measured(images)
        store.write(mean=mean, std=std, images=images)
        return images

    def _decoded(self, part: Part, channels: int) -> Pixels:
        return decoded_files(self.parts[part].files, channels, self.size, self.progress)

    def _cache(self, part: Part, *more: object) -> ArrayCache:
        """One file for each folder, part and size: when the folder changes, the new images take the old ones' place."""
        folder = self.parts[part].folder.resolve()
        place = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        file = self.root / CACHE_FOLDER / f"image-folder-{place}-{part}-{self.size}.npz"
        return ArrayCache(file=file, key=repr((VERSION, self.size, *more, self.parts[part].fingerprint)))


def is_gray(files: tuple[Path, ...]) -> bool:
    """Whether none of up to 64 images, evenly spaced over the list, has colour."""
    places = np.linspace(0, len(files) - 1, min(COLOUR_SAMPLE, len(files))).round().astype(int)
    return all(_has_no_colour(files[place]) for place in places)


def _has_no_colour(file: Path) -> bool:
    image = flattened(open_image(file, least_side=DEFAULT_SIZE))
    return image.mode == "L" or not np.ptp(np.asarray(image), axis=2).any()


def _plain(kept: tuple[Statistics, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = (tuple(float(value) for value in values) for values in kept)
    return mean, std


def measured(images: Pixels) -> tuple[Statistics, Statistics]:
    """Mean and standard deviation of each channel in [0, 1], from exact counts, to four digits."""
    return statistics_of(counted(images))


def counted(images: Pixels) -> NDArray[np.int64]:
    """How many pixels of each channel have each value, (C, 256)."""
    return np.stack([_histogram(images[:, channel]) for channel in range(images.shape[1])])


def statistics_of(counts: NDArray[np.int64]) -> tuple[Statistics, Statistics]:
    levels = np.arange(256) / 255
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ levels
    deviation = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(1))
    return mean.round(4), np.maximum(deviation, LEAST_DEVIATION).round(4)


def _histogram(values: Pixels) -> NDArray[np.int64]:
    return sum((np.bincount(part.ravel(), minlength=256) for part in _in_chunks(values)), np.zeros(256, np.int64))


def _in_chunks(values: Pixels) -> Iterator[Pixels]:
    """bincount works on 64-bit numbers: some thousand images at a time keep that small."""
    step = max(1, (1 << 22) // values[0].size)
    return (values[start : start + step] for start in range(0, len(values), step))
