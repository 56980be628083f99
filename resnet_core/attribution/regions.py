"""An image cut into regions that are switched off as a whole: squares, or superpixels (SLIC, Achanta et al. 2012, TPAMI 34(11))."""

import math

import torch
from torch import Tensor

COMPACTNESS = 0.1  # how much place weighs beside colour (pixels in [0, 1]); 0.1 is SLIC's m = 10 on Lab's 0 to 100
ROUNDS = 10


def cut(pixels: Tensor, kind: str, count: int) -> Tensor:
    """Region of each pixel, (B, 1, H, W) int64 counted from 0 without gaps, for images (B, C, H, W) in [0, 1]."""
    return torch.stack([_numbered(_grid(image, count) if kind == "grid" else _superpixels(image, count)) for image in pixels]).unsqueeze(1)


def _numbered(regions: Tensor) -> Tensor:
    _, numbers = torch.unique(regions, return_inverse=True)
    return numbers.view_as(regions)  # type: ignore[no-any-return]


def _sides(height: int, width: int, count: int) -> tuple[int, int]:
    """Rows and columns of a grid of about `count` cells as square as can be."""
    rows = min(max(1, round(math.sqrt(count * height / width))), height)
    return rows, min(max(1, round(count / rows)), width)


def _grid(image: Tensor, count: int) -> Tensor:
    height, width = image.shape[-2:]
    rows, columns = _sides(height, width, count)
    y = torch.arange(height, device=image.device) * rows // height
    x = torch.arange(width, device=image.device) * columns // width
    return y.unsqueeze(1) * columns + x


def _superpixels(image: Tensor, count: int) -> Tensor:
    """k-means on colour and place, from the grid's cells. Without a step that joins what fell apart: a region may have islands."""
    height, width = image.shape[-2:]
    regions, spacing = _grid(image, count).flatten(), math.sqrt(height * width / count)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([y, x]).to(image) * (COMPACTNESS / spacing)
    features = torch.cat([image, place]).flatten(1).T  # (H * W, C + 2)
    for _ in range(ROUNDS):
        sums = torch.zeros(count_of(regions), features.shape[1], dtype=features.dtype, device=features.device).index_add_(
            0, regions, features
        )
        sizes = torch.bincount(regions, minlength=len(sums)).clamp(min=1).unsqueeze(1)
        found = torch.cdist(features, sums / sizes).argmin(1)
        found = _numbered(found)
        if torch.equal(found, regions):
            break
        regions = found
    return regions.view(height, width)


def count_of(regions: Tensor) -> int:
    return int(regions.max()) + 1
