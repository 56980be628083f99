"""Cut mnist_mini.npz from the four official MNIST files: python -m resnet_core.data.cut_mnist_mini FOLDER

The choice is fixed and needs no random numbers: of each class, 1,000 images evenly spaced in the official order.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_core.data.mnist_mini import FILE

PER_CLASS = 1000
IMAGES_MAGIC, LABELS_MAGIC = 0x803, 0x801  # idx: unsigned bytes in three dimensions, in one


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of bytes, plain or with .gz behind its name."""
    raw = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(path.name + ".gz").read_bytes())
    magic = int.from_bytes(raw[:4], "big")
    if magic not in (IMAGES_MAGIC, LABELS_MAGIC):
        raise ValueError(f"{path} must be an idx file of bytes, its first four bytes are {magic:#x}")
    dimensions = magic & 0xFF
    shape = np.frombuffer(raw, ">u4", count=dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def chosen_indices(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Positions in the official training set, ascending."""
    chosen = []
    for label in range(10):
        positions = np.flatnonzero(labels == label)
        chosen.append(positions[np.arange(PER_CLASS) * len(positions) // PER_CLASS])
    return np.sort(np.concatenate(chosen))


def cut(folder: Path, target: Path = FILE) -> None:
    labels = read_idx(folder / "train-labels-idx1-ubyte")
    indices = chosen_indices(labels)
    np.savez_compressed(
        target,
        train_images=read_idx(folder / "train-images-idx3-ubyte")[indices],
        train_labels=labels[indices],
        train_indices=indices.astype(np.uint16),
        test_images=read_idx(folder / "t10k-images-idx3-ubyte"),
        test_labels=read_idx(folder / "t10k-labels-idx1-ubyte"),
    )


if __name__ == "__main__":
    cut(Path(sys.argv[1]))
