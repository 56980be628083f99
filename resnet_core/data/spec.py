"""What a data set is without its pixels, and a split of it as tensors on the device."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self, cast

import torch
from torch import Tensor

from resnet_core.data.sketch import SIDE
from resnet_core.data.streaming import files_of


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Size, classes and normalisation of a data set; travels inside every checkpoint. `mean` and `std` are per channel, in [0, 1]."""

    name: str
    channels: int
    height: int
    width: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**fields)


DIGITS = tuple("0123456789")


def digit_spec(name: str) -> DataSpec:
    """Of MNIST, by another name: one normalisation for all digits, so that networks can move from set to set."""
    return DataSpec(name=name, channels=1, height=SIDE, width=SIDE, classes=DIGITS, mean=(0.1307,), std=(0.3081,))


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def normalize(images: Tensor, spec: DataSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8, or float in [0, 1], (B, C, H, W) -> (x - mean) / std."""
    files = files_of(images)
    if files is not None:
        images = files[:]
    scaled = images.to(dtype).div_(255) if images.dtype == torch.uint8 else images.to(dtype)
    return (scaled - _per_channel(spec.mean, scaled)) / _per_channel(spec.std, scaled)


def denormalize(images: Tensor, spec: DataSpec) -> Tensor:
    """The way back: normalised (B, C, H, W) -> float in [0, 1]."""
    return images * _per_channel(spec.std, images) + _per_channel(spec.mean, images)


@dataclass(frozen=True, kw_only=True)
class Split:
    """images uint8 (N, C, H, W) and labels int64 (N,), on one device.

    Where the images of a folder do not fit into memory, FileImages stand in their place: they are indexed alike.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Split":
        return Split(images=self.images.to(device), labels=self.labels.to(device))

    def take(self, indices: Tensor) -> "Split":
        files = files_of(self.images)
        images = self.images[indices] if files is None else cast(Tensor, files.take(indices).read_if_few())
        return Split(images=images, labels=self.labels[indices])

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images at these places, (B, C, H, W) after (B, C, H, W); those of files are decoded ahead."""
        files = files_of(self.images)
        if files is not None:
            return files.batches(indices)
        return (self.images[index] for index in indices)

    def in_order(self, size: int) -> Iterator[Tensor]:
        """All images, `size` at a time."""
        files = files_of(self.images)
        if files is not None:
            return files.batches(torch.arange(len(self)).split(size))
        return iter(self.images.split(size))


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Training and validation images; the test split is read when it is first asked for, and not before."""

    spec: DataSpec
    train: Split
    valid: Split
    load_test: Callable[[], Split]

    @cached_property
    def test(self) -> Split:
        return self.load_test()

    def fingerprint(self) -> dict[str, int]:
        """What tells that images came, went or changed: how many train, and checksums of all labels in their order and of the colours, which
        a folder's own images give: rounded, since the programs that decode a file differ by a shade."""
        labels = (split.labels.cpu().numpy().tobytes() for split in (self.train, self.valid))
        colours = repr([[round(value, 2) for value in part] for part in (self.spec.mean, self.spec.std)])
        return {"images": len(self.train), "labels": zlib.crc32(b"|".join(labels)), "colours": zlib.crc32(colours.encode())}
