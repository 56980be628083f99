"""Images that stand for nothing, on pixels in [0, 1]: black, the data set's mean colour, the image itself blurred."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from resnet_core.attribution.settings import Baselined
from resnet_core.data.spec import DataSpec, normalize

REACH = 3  # standard deviations that a Gaussian kernel covers


def baseline_of(pixels: Tensor, settings: Baselined, spec: DataSpec) -> Tensor:
    """The normalised baseline (B, C, H, W) of each image given as pixels in [0, 1]."""
    if settings.baseline == "black":
        return normalize(torch.zeros_like(pixels), spec)
    if settings.baseline == "mean":
        return torch.zeros_like(pixels)  # the mean is what normalising moves to 0
    return normalize(blurred(pixels, settings.blur * max(pixels.shape[-2:])), spec)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of (B, C, H, W) with `deviation` in pixels; borders are continued by their own pixels."""
    reach = min(math.ceil(REACH * deviation), max(images.shape[-2:]))
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (places / deviation) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel.unsqueeze(2), groups=images.shape[1])
    return functional.conv2d(across, kernel.unsqueeze(3), groups=images.shape[1])
