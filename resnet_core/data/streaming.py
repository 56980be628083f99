"""Images that do not fit into memory: decoded when they are asked for, and for a training ahead of it, by the workers of a DataLoader."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnet_core.data.reading import Progress, flattened, open_image
from resnet_core.errors import UserError

Pixels = NDArray[np.uint8]

BUDGET = "RESNET_IMAGE_MEMORY"  # environment variable, in bytes
SHARE = 4  # without it, a part of a data set may take a quarter of the machine's memory; while it is split it lies there twice
CHUNK = 128  # images per task of a thread
MOST_THREADS = 16
MOST_WORKERS = 16
FEW = 2048  # images
AHEAD = 4  # batches that each worker prepares
CPU = torch.device("cpu")


def image_budget() -> int:
    """Bytes that the images of one part of a data set may take: $RESNET_IMAGE_MEMORY, else a quarter of this machine's memory."""
    asked = os.environ.get(BUDGET, "").strip()
    if not asked:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // SHARE
    if not asked.isdecimal():
        raise UserError("wrong_type", field=BUDGET, value=asked, kind="a whole number of bytes")
    return int(asked)


def read_square(file: Path, channels: int, size: int) -> Pixels:
    """One image file -> (channels, size, size), antialiased."""
    image = flattened(open_image(file, least_side=2 * size)).convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)


def decoded_files(files: tuple[Path, ...], channels: int, size: int, progress: Progress | None = None) -> Pixels:
    """uint8 (N, channels, size, size); several files at once, since Pillow decodes and scales without holding Python's lock."""
    images = np.empty((len(files), channels, size, size), np.uint8)

    def fill(start: int) -> int:
        for place in range(start, min(start + CHUNK, len(files))):
            images[place] = read_square(files[place], channels, size)
        return min(start + CHUNK, len(files))

    Image.init()  # loads Pillow's formats before threads would do it together
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        for done in threads.map(fill, range(0, len(files), CHUNK)):
            if progress is not None:
                progress(done, len(files))
    return images


@dataclass(frozen=True, kw_only=True)
class FileImages:
    """What a split holds in the place of a tensor (N, C, H, W) of uint8: indexing it decodes those files, onto the device."""

    files: tuple[Path, ...]
    channels: int
    size: int
    device: torch.device = CPU

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.files), self.channels, self.size, self.size))

    @property
    def nbytes(self) -> int:
        return self.shape.numel()

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        if isinstance(index, int):
            return self[torch.tensor([range(len(self))[index]])][0]
        chosen = self.files[index] if isinstance(index, slice) else self.take(index).files
        return torch.from_numpy(decoded_files(chosen, self.channels, self.size)).to(self.device)

    def take(self, index: Tensor) -> "FileImages":
        """Those at these places (or where a mask is true), not decoded yet."""
        places = index.nonzero().flatten() if index.dtype == torch.bool else index
        return replace(self, files=tuple(self.files[place] for place in places.tolist()))

    def read_if_few(self) -> "FileImages | Tensor":
        """As a tensor, where that is soon done and fits: whoever takes some images to look at them need not know of files."""
        return self[:] if len(self) <= FEW and self.nbytes <= image_budget() else self

    def to(self, device: torch.device | str) -> "FileImages":
        return replace(self, device=torch.device(device))

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """One tensor (B, C, H, W) after the other, the same as `self[index]`, decoded ahead in other processes."""
        from torch.utils.data import DataLoader, Dataset

        loader: DataLoader[Any] = DataLoader(
            cast("Dataset[Any]", _Decoded(self)),
            batch_sampler=(index.tolist() for index in indices),
            num_workers=workers(),
            prefetch_factor=AHEAD,
            collate_fn=_stacked,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # its seed is drawn from it, and not from the stream that everybody draws from
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch.to(self.device, non_blocking=True)


def files_of(images: object) -> FileImages | None:
    """The images as what they are where a split holds no tensor."""
    return images if isinstance(images, FileImages) else None


def workers() -> int:
    """Processes that decode: half of the cores, which the processes of a team on this machine share."""
    return max(min((os.cpu_count() or 1) // 2, MOST_WORKERS) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


@dataclass(frozen=True)
class _Decoded:
    """The files as a map-style data set. What is wrong with a file comes back as a value: a DataLoader would make a trace of it."""

    images: FileImages

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor | UserError:
        try:
            return torch.from_numpy(read_square(self.images.files[index], self.images.channels, self.images.size).copy())
        except UserError as error:
            return error


def _stacked(items: list[Tensor | UserError]) -> Tensor | UserError:
    wrong = next((item for item in items if isinstance(item, UserError)), None)
    return wrong or torch.stack([item for item in items if isinstance(item, Tensor)])
