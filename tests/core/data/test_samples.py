"""The samples are the images of the whole sets that they say they are, and they stand in for them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_core.config import DataConfig
from resnet_core.data import DATASETS, load_split, load_splits, same_tests, splits_of, stand_in
from resnet_core.data.samples import CIFAR10_JPG, FASHION_MNIST, Sample
from resnet_core.errors import UserError

SAMPLES = (FASHION_MNIST, CIFAR10_JPG)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_has_a_hundred_of_each_class_and_looks_as_its_set_does(sample: Sample) -> None:
    spec, split = load_split(DataConfig(dataset=sample.name), "test")
    whole = DATASETS[sample.whole].spec
    assert split.images.shape == (1000, whole.channels, whole.height, whole.width)
    assert split.labels.bincount().tolist() == [100] * 10
    assert (spec.classes, spec.mean, spec.std) == (whole.classes, whole.mean, whole.std)
    pixels = split.images.double() / 255  # a thousand images tell the mean of a set to some hundredths
    assert np.allclose(pixels.mean((0, 2, 3)), whole.mean, atol=0.03)
    assert np.allclose(pixels.std((0, 2, 3)), whole.std, atol=0.03)
    assert sample.file.stat().st_size <= 1_200_000


@pytest.mark.long  # it reads 60,000 JPEG files
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_is_cut_from_the_whole_set(sample: Sample, full_data: Path) -> None:
    if not DATASETS[sample.whole].is_present(full_data):
        pytest.skip(f"{sample.whole} is not in $RESNET_DATA")
    _, cut = load_split(DataConfig(dataset=sample.name), "test")
    _, whole = load_split(DataConfig(dataset=sample.whole), "test", root=full_data)
    with np.load(sample.file) as arrays:
        indices = torch.from_numpy(arrays["indices"].astype(np.int64))
    assert torch.equal(whole.images[indices], cut.images)
    assert torch.equal(whole.labels[indices], cut.labels)


def test_a_sample_has_only_a_test_split() -> None:
    assert splits_of("cifar10-jpg-sample") == splits_of("pen-strokes:x") == ("test",)
    assert splits_of("mnist-mini") == splits_of("image-folder:x") == ("train", "valid", "test")
    with pytest.raises(UserError) as caught:
        load_splits(DataConfig(dataset="cifar10-jpg-sample"))
    assert caught.value.code == "test_only"


def test_what_stands_in_for_what() -> None:
    assert {sample.whole: stand_in(sample.whole) for sample in SAMPLES} == {sample.whole: sample.name for sample in SAMPLES}
    assert stand_in("mnist") == stand_in("sketch-digits:/x/strokes.gz") == "mnist-mini"
    assert stand_in("cifar10") is None
    assert same_tests("mnist", "mnist-mini")
    assert same_tests("sketch-digits:/x", "mnist")
    assert not same_tests("fashion-mnist", "fashion-mnist-sample")  # the same images at other places


def test_a_folder_of_jpeg_files_is_read_by_its_name(tmp_path: Path) -> None:
    from PIL import Image

    for part, shade in (("train", 40), ("test", 90)):
        for label in DATASETS["cifar10-jpg"].spec.classes:
            folder = tmp_path / "cifar10-jpg" / part / label
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32), (shade, 200, 0)).save(folder / "0000.png")
    _, split = load_split(DataConfig(dataset="cifar10-jpg"), "test", root=tmp_path)
    assert split.images[:, 0].unique().tolist() == [90]
    assert split.labels.tolist() == list(range(10))
