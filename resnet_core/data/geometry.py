"""Random moves of image content: one sampling pass for all smooth ones, indexing for crops.

A move is given in pixels and degrees as in torchvision's `affine`, which the tests compare it with. What comes in from outside is black.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from resnet_core.config import AugmentConfig
from resnet_core.data.draws import Draws

ELASTIC_SMOOTHNESS = 1 / 7  # of the side: 4 px of 28, as Simard, Steinkraus and Platt 2003 smooth theirs


def moved(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Rotation, shift, scale, slant and elastic displacement of float (B, C, H, W), composed into one bilinear sampling."""
    affine = (config.rotation, config.translate, config.scale, config.shear)
    if not any(affine) and not config.elastic:
        return images
    count, _, height, width = images.shape
    matrix = (
        random_affine(count, height, width, config, draws) if any(affine) else torch.eye(2, 3, device=images.device).expand(count, 2, 3)
    )
    places = sampling_places(matrix, height, width)  # (B, H, W, 2) in pixels from the centre
    if config.elastic:
        places = places + elastic_field(count, height, width, config.elastic, draws)
    scale = torch.tensor([2 / width, 2 / height], device=images.device)
    return functional.grid_sample(images, places * scale, mode="bilinear", padding_mode="zeros", align_corners=False)


def random_affine(count: int, height: int, width: int, config: AugmentConfig, draws: Draws) -> Tensor:
    """Inverse affine matrices (B, 2, 3), every parameter uniform in its range."""
    angle = draws.uniform(count, -config.rotation, config.rotation)
    shift = torch.stack([draws.uniform(count, -config.translate, config.translate) * side for side in (width, height)], 1)
    scale = draws.uniform(count, 1 - config.scale, 1 + config.scale)
    slant = draws.uniform(count, -config.shear, config.shear)
    return inverse_affine(angle, shift, scale, slant)


def inverse_affine(angle: Tensor, shift: Tensor, scale: Tensor, slant: Tensor) -> Tensor:
    """From an output pixel back to the input, both seen from the centre: (B, 2, 3) for angle and slant in degrees (B,), shift (B, 2) = x, y in pixels.

    Forward is shift(rotate(slant(scale(x)))): torchvision's order with shear=(slant, 0).
    """
    a, s = angle * (math.pi / 180), slant * (math.pi / 180)
    # R = [[cos(a), -cos(a) tan(s) - sin(a)], [sin(a), cos(a) - sin(a) tan(s)]] has determinant 1, so its inverse needs no division
    cos, sin, tan = torch.cos(a), torch.sin(a), torch.tan(s)
    rows = torch.stack([cos - sin * tan, cos * tan + sin, -sin, cos], 1).view(-1, 2, 2) / scale.view(-1, 1, 1)
    return torch.cat([rows, -rows @ shift.unsqueeze(2)], 2)


def sampling_places(matrix: Tensor, height: int, width: int) -> Tensor:
    """Where each output pixel is read, (B, H, W, 2) as x, y in pixels from the centre."""
    y = torch.arange(height, device=matrix.device) - (height - 1) / 2
    x = torch.arange(width, device=matrix.device) - (width - 1) / 2
    pixels = torch.stack(
        [x.expand(height, width), y.unsqueeze(1).expand(height, width), torch.ones(height, width, device=matrix.device)], 2
    )
    return (pixels.view(1, -1, 3) @ matrix.transpose(1, 2)).view(-1, height, width, 2)


def elastic_field(count: int, height: int, width: int, deviation: float, draws: Draws) -> Tensor:
    """Smooth random displacements (B, H, W, 2) whose standard deviation is `deviation` pixels everywhere."""
    down, right = _smoothing(height).to(draws.device), _smoothing(width).to(draws.device)
    noise = draws.normal(count, 2, down.shape[1], right.shape[1])
    return (down @ noise @ right.T).permute(0, 2, 3, 1) * deviation


def _smoothing(side: int) -> Tensor:
    """(side, K): Gaussian weights from K knots of noise, one per standard deviation; rows of length 1 keep the noise's own deviation."""
    sigma = side * ELASTIC_SMOOTHNESS
    knots = torch.arange(-sigma, side + sigma, sigma)
    distances = (torch.arange(side).unsqueeze(1) - knots) / sigma
    return functional.normalize(torch.exp(-(distances**2) / 2), dim=1)


def cropped(images: Tensor, padding: int, draws: Draws) -> Tensor:
    """A window of the images' own size, anywhere in them after padding each side."""
    if not padding:
        return images
    _, _, height, width = images.shape
    padded = functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view (B, C, 2 padding + 1, 2 padding + 1, H, W)
    top, left = draws.integers(len(images), 2 * padding + 1), draws.integers(len(images), 2 * padding + 1)
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def flipped(images: Tensor, draws: Draws) -> Tensor:
    """Mirrored left and right with probability 1/2."""
    return torch.where(draws.chance(len(images), 0.5).view(-1, 1, 1, 1), images.flip(3), images)
