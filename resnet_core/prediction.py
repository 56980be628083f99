"""What a network says about one prepared drawing."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from resnet_core.data import DataSpec, normalize


@torch.inference_mode()
def predict_sketch(model: nn.Module, spec: DataSpec, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (K,) for a prepared image (28, 28) uint8; resized first for a network that was trained at another size."""
    device = next(model.parameters()).device
    logits: torch.Tensor = model(normalize(sketch_pixels(spec, image).to(device), spec))
    return logits.float().softmax(1)[0].cpu().numpy()


def sketch_pixels(spec: DataSpec, image: NDArray[np.uint8]) -> torch.Tensor:
    """A prepared image (28, 28) at the size of these data, uint8 (1, 1, H, W)."""
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    if (spec.height, spec.width) == image.shape:
        return pixels
    resized = functional.interpolate(pixels.float(), (spec.height, spec.width), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
