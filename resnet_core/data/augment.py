"""Random changes of a training batch, on its device and without a loop over images. Never for validation or test."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from resnet_core.config import AugmentConfig
from resnet_core.data.draws import Draws, Share
from resnet_core.data.geometry import cropped, flipped, moved

SMALLEST_ERASED, ERASED_ASPECT = 0.02, (0.3, 3.3)  # Zhong et al. 2017, and torchvision's RandomErasing
LUMA = (0.2989, 0.587, 0.114)  # weights of red, green and blue in brightness, as in torchvision


def augment(
    images: Tensor, config: AugmentConfig, generator: torch.Generator, fill: tuple[float, ...] = (0.0,), share: Share | None = None
) -> Tensor:
    """Float images in [0, 1] (B, C, H, W), changed as the config says; the input itself where it changes nothing.

    Every random number comes from `generator`, which lives on the images' device. `fill` is the colour, one number per channel, of
    places that erasing and cutout take: the data set's mean. `share` says which part of a batch these images are. Mixup is apart, since it
    needs the labels.
    """
    draws = Draws(generator, share)
    if config.thickness:
        images = restroked(images, config.thickness, draws)
    images = moved(images, config, draws)
    images = cropped(images, config.crop_padding, draws)
    if config.flip:
        images = flipped(images, draws)
    if config.jitter:
        images = jittered(images, config.jitter, draws)
    if config.erase_p:
        images = erased(images, config.erase_p, config.erase_area, fill, draws)
    if config.cutout:
        images = cut_out(images, config.cutout, fill, draws)
    return images


def mixup(images: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Zhang et al. 2017: images * weight + other * (1 - weight), the labels, the other labels, and the weight of the first ones.

    One weight per batch, from Beta(alpha, alpha), as a tensor without shape.
    """
    draws = Draws(generator)
    weight, other = draws.beta(alpha), draws.order(len(images))
    return torch.lerp(images[other], images, weight.to(images.dtype)), labels, labels[other], weight


def restroked(images: Tensor, radius: float, draws: Draws) -> Tensor:
    """Bright strokes on dark made thicker or thinner, each image by its own share of `radius` pixels."""
    change = draws.uniform(len(images), -radius, radius).view(-1, 1, 1, 1)
    thicker = thinner = images
    result = images
    for step in range(1, math.ceil(radius) + 1):
        thicker, thinner = neighbourhood(thicker, torch.maximum), thinned(thinner)
        result = torch.lerp(result, thicker, (change - step + 1).clamp(0, 1))
        result = torch.lerp(result, thinner, (-change - step + 1).clamp(0, 1))
    return result


def neighbourhood(images: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Every pixel replaced by the brightest or the darkest (`choose`: torch.maximum or minimum) of its 3 x 3 square.

    Shifted slices are 15 to 40 times as fast as max_pool2d on a CPU.
    """
    height, width = images.shape[2:]
    around = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    around = choose(choose(around[:, :, :height], around[:, :, 1 : height + 1]), around[:, :, 2:])
    return choose(choose(around[..., :width], around[..., 1 : width + 1]), around[..., 2:])


def thinned(images: Tensor) -> Tensor:
    """Eroded by one pixel, except strokes too thin to survive it: they stay, so a digit never disappears."""
    eroded = neighbourhood(images, torch.minimum)
    return torch.maximum(eroded, images - neighbourhood(eroded, torch.maximum))


def jittered(images: Tensor, strength: float, draws: Draws) -> Tensor:
    """Brightness, contrast and, with three channels, saturation, each times a factor of 1 plus or minus up to `strength`."""
    brightness, contrast, saturation = (draws.uniform(len(images), 1 - strength, 1 + strength).view(-1, 1, 1, 1) for _ in range(3))
    images = (images * brightness).clamp(0, 1)
    images = torch.lerp(gray(images).mean((1, 2, 3), keepdim=True), images, contrast).clamp(0, 1)
    return torch.lerp(gray(images), images, saturation).clamp(0, 1) if images.shape[1] == 3 else images


def gray(images: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W); other channel counts are given back as they are."""
    if images.shape[1] != 3:
        return images
    return (images * torch.tensor(LUMA, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)).sum(1, keepdim=True)


def erased(images: Tensor, probability: float, area: float, fill: tuple[float, ...], draws: Draws) -> Tensor:
    """A random rectangle of up to `area` of the image set to `fill`, with this probability (Zhong et al. 2017)."""
    count, _, height, width = images.shape
    pixels = draws.uniform(count, SMALLEST_ERASED, area) * height * width
    aspect = torch.exp(draws.uniform(count, math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1])))
    tall = (pixels * aspect).sqrt().round().clamp(1, height)
    wide = (pixels / aspect).sqrt().round().clamp(1, width)
    top = (draws.uniform(count, 0, 1) * (height - tall + 1)).floor()
    left = (draws.uniform(count, 0, 1) * (width - wide + 1)).floor()
    tall = tall * draws.chance(count, probability)
    return filled(images, top, left, tall, wide, fill)


def cut_out(images: Tensor, side: int, fill: tuple[float, ...], draws: Draws) -> Tensor:
    """A square set to `fill`, its centre anywhere in the image, so that parts of it may lie outside (DeVries and Taylor 2017)."""
    count, _, height, width = images.shape
    top, left = (draws.integers(count, length) - side // 2 for length in (height, width))
    sides = torch.full_like(top, side)
    return filled(images, top, left, sides, sides, fill)


def filled(images: Tensor, top: Tensor, left: Tensor, tall: Tensor, wide: Tensor, fill: tuple[float, ...]) -> Tensor:
    """Rectangles, one per image and each given by (B,) numbers, set to the colour `fill`."""
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    rows = (y >= top.unsqueeze(1)) & (y < (top + tall).unsqueeze(1))
    columns = (x >= left.unsqueeze(1)) & (x < (left + wide).unsqueeze(1))
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    colour = torch.tensor(fill, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
    return torch.where(inside, colour, images)
