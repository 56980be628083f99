"""A person's own sketches as files, and as data sets."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_core.config import DataConfig
from resnet_core.data import get_dataset, load_split, load_splits, same_tests, splits_of
from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.data.photo import prepare_photo
from resnet_core.data.sketch import prepare_sketch
from resnet_core.data.sketches import (
    ALONE,
    TOGETHER,
    forget_sketch,
    forget_sketches,
    keep_sketch,
    prepared_sketches,
    sketches,
    sketches_folder,
    zipped_sketches,
)
from resnet_core.errors import UserError

pytestmark = pytest.mark.usefixtures("own_runs")


def drawing(row: int) -> np.ndarray:
    """RGBA as the canvas sends it: a bar, longer and lower from one to the next."""
    pixels = np.zeros((280, 280, 4), np.uint8)
    pixels[20 + row : 90 + 2 * row, 100 : 110 + 6 * row] = (255, 255, 255, 200)
    return pixels


def test_a_kept_drawing_is_prepared_to_what_the_page_showed() -> None:
    photo = np.full((300, 400), 230, np.uint8)
    photo[60:240, 180:200] = 30
    for prepared in (prepare_sketch(drawing(3)), prepare_photo(Image.fromarray(photo))):
        kept = keep_sketch(prepared.ink, "1")
        assert np.array_equal(prepared_sketches((kept,)).images[0, 0].numpy(), prepared.image)
        assert kept.path.parent == sketches_folder() / kept.part / "1"


def test_of_every_digit_the_first_tests_and_two_train() -> None:
    for row, label in enumerate("7747177"):
        keep_sketch(prepare_sketch(drawing(row)).ink, label)
    oldest_first = [(sketch.label, sketch.part) for sketch in reversed(sketches())]
    assert oldest_first == [
        ("7", "test"), ("7", "train"), ("4", "test"), ("7", "train"), ("1", "test"), ("7", "test"), ("7", "train"),
    ]  # fmt: skip
    spec, test = load_split(DataConfig(dataset=ALONE), "test")
    assert spec.classes == tuple("0123456789")
    assert sorted(test.labels.tolist()) == [1, 4, 7, 7]
    splits = load_splits(DataConfig(dataset=ALONE))
    assert len(splits.train) + len(splits.valid) == 3


def test_together_with_mnist_they_are_a_tenth_and_mnist_tests() -> None:
    for row in range(9):
        keep_sketch(prepare_sketch(drawing(row)).ink, "1")
    splits = load_splits(DataConfig(dataset=TOGETHER))
    images = torch.cat([splits.train.images, splits.valid.images])
    assert len(images) == 10_000 + 6 * 50  # never more than 50 copies
    own = {image.numpy().tobytes() for image in prepared_sketches(tuple(s for s in sketches() if s.part == "train")).images}
    assert len(own) == 6
    counts = [sum(image.numpy().tobytes() == one for image in images) for one in own]
    assert counts == [50] * 6
    assert torch.equal(splits.test.images, read_mnist_mini("test").images)
    assert same_tests(TOGETHER, "mnist")
    assert not same_tests(ALONE, "mnist")
    assert get_dataset(TOGETHER).train == 10_300
    assert splits_of(ALONE) == ("train", "valid", "test")


def test_taken_home_and_forgotten() -> None:
    for row, label in enumerate("350"):
        keep_sketch(prepare_sketch(drawing(row)).ink, label)
    with zipfile.ZipFile(io.BytesIO(zipped_sketches())) as archive:
        names = archive.namelist()
        first = Image.open(io.BytesIO(archive.read(names[0])))
    assert [name.split("/")[:3] for name in names] == [["sketches", "test", label] for label in "350"]
    assert np.array_equal(np.asarray(first), prepare_sketch(drawing(0)).ink)
    middle = sketches()[1]
    forget_sketch(middle.name)
    forget_sketch(middle.name)  # a second click changes nothing
    assert [sketch.label for sketch in sketches()] == ["0", "3"]
    forget_sketches()
    assert sketches() == ()


def test_mistakes_are_one_sentence(own_runs: Path) -> None:
    def code(action) -> str:  # type: ignore[no-untyped-def]
        with pytest.raises(UserError) as caught:
            action()
        return caught.value.code

    ink = prepare_sketch(drawing(1)).ink
    assert code(lambda: load_split(DataConfig(dataset=ALONE), "test")) == "no_sketches"
    assert code(lambda: keep_sketch(ink, "../x")) == "not_a_choice"
    assert code(lambda: keep_sketch(np.zeros((280, 280), np.uint8), "3")) == "no_ink"
    kept = keep_sketch(ink, "3")
    assert code(lambda: load_split(DataConfig(dataset=ALONE), "train")) == "too_few_images"  # the only one is for testing
    kept.path.write_text("no image")
    assert code(lambda: load_split(DataConfig(dataset=ALONE), "test")) == "image_unreadable"
    (own_runs / "file").write_text("")
    assert code(lambda: keep_sketch(ink, "3", own_runs / "file" / "sketches")) == "not_writable"
