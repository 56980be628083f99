"""Cut the samples from the whole data sets under the data root: python -m resnet_core.data.samples.cut

The choice is fixed and needs no random numbers: of each class, 100 test images evenly spaced in the set's own order.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_core.data.catalog import data_root, get_dataset
from resnet_core.data.image_folder import listed
from resnet_core.data.samples.reading import CIFAR10_JPG, FASHION_MNIST

PER_CLASS = 100


def chosen_indices(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in the test set, ascending."""
    chosen = []
    for label in range(int(labels.max()) + 1):
        positions = np.flatnonzero(labels == label)
        chosen.append(positions[np.arange(PER_CLASS) * len(positions) // PER_CLASS])
    return np.sort(np.concatenate(chosen))


def cut_fashion_mnist(root: Path, target: Path = FASHION_MNIST.file) -> None:
    split = get_dataset(FASHION_MNIST.whole).read(root, "test")
    indices = chosen_indices(split.labels.numpy())
    images, labels = split.images.numpy()[indices, 0], split.labels.numpy()[indices].astype(np.uint8)
    np.savez_compressed(target, images=images, labels=labels, indices=indices.astype(np.uint16))


def cut_cifar10_jpg(root: Path, target: Path = CIFAR10_JPG.file) -> None:
    part = listed(root / CIFAR10_JPG.whole)[1]["test"]
    indices = chosen_indices(part.labels)
    parts = [np.frombuffer(part.files[index].read_bytes(), np.uint8) for index in indices]
    ends, labels = np.cumsum([len(part) for part in parts]), part.labels[indices].astype(np.uint8)
    np.savez(target, bytes=np.concatenate(parts), ends=ends, labels=labels, indices=indices.astype(np.uint16))


if __name__ == "__main__":
    cut_fashion_mnist(data_root())
    cut_cifar10_jpg(data_root())
