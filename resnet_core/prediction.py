"""What a network says about one prepared drawing."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from resnet_core.data import DataSpec, normalize

THREADS = torch.get_num_threads()


@torch.inference_mode()
def predict_sketch(model: nn.Module, spec: DataSpec, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (K,) for a prepared image (28, 28) uint8; resized first for a network that was trained at another size."""
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    if (spec.height, spec.width) != image.shape:
        resized = functional.interpolate(pixels.float(), (spec.height, spec.width), mode="bilinear", antialias=True)
        pixels = resized.round().clamp(0, 255).to(torch.uint8)
    device = next(model.parameters()).device
    with one_thread():
        logits: torch.Tensor = model(normalize(pixels.to(device), spec))
    return logits.float().softmax(1)[0].cpu().numpy()


@contextmanager
def one_thread() -> Iterator[None]:
    """One small image gains nothing from several threads, and while a training has the cores each of them waits 0.1 s for its turn."""
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(THREADS)
