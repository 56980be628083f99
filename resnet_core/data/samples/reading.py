"""1,000 test images of a data set each, in a file beside this one; README.md there says whose they are and how they were chosen."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resnet_core.data.source import Part
from resnet_core.data.spec import Split
from resnet_core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`whole` is the data set it was cut from; `jpeg` files hold the original bytes of every image one after the other."""

    name: str
    whole: str
    jpeg: bool = False

    @property
    def file(self) -> Path:
        return Path(__file__).with_name(f"{self.name}.npz")


FASHION_MNIST = Sample(name="fashion-mnist-sample", whole="fashion-mnist")
CIFAR10_JPG = Sample(name="cifar10-jpg-sample", whole="cifar10-jpg", jpeg=True)


def read_sample(sample: Sample, part: Part) -> Split:
    """uint8 (1000, C, H, W); raises test_only for the training part, which no sample has."""
    if part != "test":
        raise UserError("test_only", field="dataset", name=sample.name)
    with np.load(sample.file, allow_pickle=False) as arrays:
        images = _decoded(arrays["bytes"], arrays["ends"]) if sample.jpeg else arrays["images"][:, None]
        return Split(images=torch.from_numpy(images), labels=torch.from_numpy(arrays["labels"]).long())


def _decoded(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.uint8]:
    parts = np.split(data, ends[:-1])
    return np.stack([np.asarray(Image.open(io.BytesIO(part.tobytes())).convert("RGB")).transpose(2, 0, 1) for part in parts])
