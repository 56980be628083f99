"""The digits that come with the program are MNIST's own, and those that MNIST_MINI.md says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_core.config import DataConfig
from resnet_core.data.catalog import DATASETS, load_split, load_splits
from resnet_core.data.cut_mnist_mini import chosen_indices, cut, read_idx
from resnet_core.data.mnist_mini import FILE, read_mnist_mini

# how often each digit occurs in MNIST's official sets (LeCun, Cortes and Burges)
TRAIN_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
TEST_COUNTS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)


def test_sizes_types_and_counts() -> None:
    train, test = read_mnist_mini("train"), read_mnist_mini("test")
    for split in (train, test):
        assert split.images.shape == (10_000, 1, 28, 28)
        assert split.images.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
    assert torch.bincount(train.labels).tolist() == [1000] * 10
    assert tuple(torch.bincount(test.labels).tolist()) == TEST_COUNTS
    assert (DATASETS["mnist-mini"].train, DATASETS["mnist-mini"].test) == (10_000, 10_000)


def test_the_file_is_at_most_4_mb() -> None:
    assert FILE.stat().st_size <= 4_000_000


def test_indices_are_evenly_spaced_over_each_class() -> None:
    """Without the full set at hand: each class's own places run evenly from its first image to nearly its last."""
    with np.load(FILE) as arrays:
        indices, labels = arrays["train_indices"].astype(int), arrays["train_labels"]
    assert (np.diff(indices) > 0).all()
    for label in range(10):
        own = indices[labels == label]
        assert len(own) == 1000
        assert own[0] < 60  # the first image of its class
        assert own[-1] > 60_000 - 60 * 7
        assert np.abs(own - np.arange(1000) * 60).max() < 1500


def test_the_choice_on_a_small_example() -> None:
    labels = np.repeat(np.arange(10), 2500)
    chosen = chosen_indices(labels)
    assert len(chosen) == 10_000
    assert chosen[:6].tolist() == [0, 2, 5, 7, 10, 12]
    assert chosen[1000] == 2500


def test_normalisation_is_that_of_all_of_mnist_and_nearly_this_cuts_own() -> None:
    images = read_mnist_mini("train").images.double() / 255
    spec = DATASETS["mnist-mini"].spec
    assert (spec.mean, spec.std) == (DATASETS["mnist"].spec.mean, DATASETS["mnist"].spec.std)
    assert images.mean().item() == pytest.approx(spec.mean[0], abs=0.002)
    assert images.std(correction=0).item() == pytest.approx(spec.std[0], abs=0.002)


def test_every_image_is_a_digit_of_mnist() -> None:
    images = read_mnist_mini("test").images
    assert images.flatten(1).amax(1).min() >= 254  # MNIST_WHITE of the sketch preparation rests on this


def test_no_training_image_is_among_the_test_images() -> None:
    train = {image.tobytes() for image in read_mnist_mini("train").images.numpy()}
    assert len(train) == 10_000
    assert not train & {image.tobytes() for image in read_mnist_mini("test").images.numpy()}


def test_equals_the_full_set(full_data: Path, tmp_path: Path) -> None:
    raw = full_data / "MNIST" / "raw"
    if not raw.is_dir():
        pytest.skip(f"{raw} is not there")
    with np.load(FILE) as arrays:
        labels = read_idx(raw / "train-labels-idx1-ubyte")
        assert tuple(np.bincount(labels)) == TRAIN_COUNTS
        assert np.array_equal(arrays["train_indices"], chosen_indices(labels))
    cut(raw, tmp_path / "again.npz")
    with np.load(FILE) as arrays, np.load(tmp_path / "again.npz") as again:
        assert set(arrays) == set(again)
        for name in arrays:
            assert np.array_equal(arrays[name], again[name]), name
    _, mnist = load_split(DataConfig(dataset="mnist"), "test", root=full_data)
    assert torch.equal(mnist.images, read_mnist_mini("test").images)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_constants_of_the_full_sets(name: str, full_data: Path) -> None:
    entry = DATASETS[name]
    if not entry.is_present(full_data):
        pytest.skip(f"{name} is not in {full_data}")
    splits = load_splits(DataConfig(dataset=name), root=full_data)
    counts = torch.bincount(torch.cat([splits.train.images, splits.valid.images]).flatten().int(), minlength=256).double()
    levels = torch.arange(256) / 255
    mean = (counts * levels).sum() / counts.sum()
    assert mean.item() == pytest.approx(entry.spec.mean[0], abs=1e-4)
    assert ((counts * (levels - mean) ** 2).sum() / counts.sum()).sqrt().item() == pytest.approx(entry.spec.std[0], abs=1e-4)
    assert len(splits.test) == entry.test
