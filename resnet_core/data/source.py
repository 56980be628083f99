"""A data set that was opened: its spec, and its two official parts as tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from resnet_core.data.spec import DataSpec, Split

Part = Literal["train", "test"]

RESIZE_IMAGES = 1024  # resizing goes through float32: so many images at a time keep it under some 100 MB


@dataclass(frozen=True, kw_only=True)
class Source:
    """`read` gives the official training or test images, at the size that the spec says; `counts` tells how many each part has."""

    spec: DataSpec
    counts: Mapping[Part, int]
    read: Callable[[Part], Split]


def resized_spec(spec: DataSpec, size: int | None) -> DataSpec:
    return spec if size is None else replace(spec, height=size, width=size)


def resized(images: Tensor, spec: DataSpec) -> Tensor:
    """uint8 (N, C, H, W) -> uint8 at the spec's height and width, bilinear and antialiased."""
    if images.shape[-2:] == (spec.height, spec.width):
        return images
    from torchvision.transforms.v2.functional import resize  # here, because importing torchvision takes a second

    return torch.cat([resize(part, [spec.height, spec.width], antialias=True) for part in torch.split(images, RESIZE_IMAGES)])
