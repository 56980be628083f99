"""Data sets by name, and names that hold a place."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_core.config import DataConfig
from resnet_core.data import catalog
from resnet_core.data.catalog import DATASETS, data_root, dataset_status, display_name, fetch, get_dataset, load_spec, load_split
from resnet_core.errors import UserError


def test_an_unknown_name_lists_what_is_near() -> None:
    with pytest.raises(UserError, match=r"did you mean .*fashion-mnist"):
        get_dataset("fasion-mnist")
    for name in ("image-folder", "image-folder:"):
        with pytest.raises(UserError, match="image-folder:PATH"):
            load_spec(DataConfig(dataset=name))
    with pytest.raises(UserError, match="pen-strokes:PATH"):
        load_split(DataConfig(dataset="pen-stroke:x"), "test")


def test_an_entry_of_a_folder_is_made_by_opening_it(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 1)):
        for name, colour in (("one", 200), ("two", 100)):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", (9, 9), colour).save(tmp_path / part / name / f"{number}.png")
    name = f"image-folder:{tmp_path}"
    entry = get_dataset(name, root=tmp_path)
    assert (entry.train, entry.test, entry.spec.classes) == (6, 2, ("one", "two"))
    assert entry.spec == load_spec(DataConfig(dataset=name), root=tmp_path)
    assert entry.read(tmp_path, "test").labels.tolist() == [0, 1]
    fetch(name, root=tmp_path)  # it is there


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError) as caught:
        load_spec(DataConfig(dataset="image-folder:~/pictures"))
    assert caught.value.values["path"] == tmp_path / "pictures"


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("mnist-mini", "mnist-mini"),
        ("image-folder:/home/ada/street-signs", "street-signs"),
        ("image-folder:/home/ada/street-signs/", "street-signs"),
        ("image-folder:我的图片", "我的图片"),
        ("pen-strokes:/x/writers-1-30.unipen.gz", "writers-1-30"),
        ("image-folder:/home/ada/cifar10", "image-folder:/home/ada/cifar10"),  # is not CIFAR-10 itself
        ("image-folder:/home/ada/MNIST", "image-folder:/home/ada/MNIST"),
        ("image-folder:/home/ada/images", "image-folder:/home/ada/images"),
        ("image-folder:..", "image-folder:.."),
        ("image-folder:/", "image-folder:/"),
    ],
)
def test_names_for_people(dataset: str, expected: str) -> None:
    assert display_name(dataset) == expected


def test_status_looks_for_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "read_mnist_mini", None)
    for file in DATASETS["mnist"].files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    rows = {row.name: row for row in dataset_status(tmp_path)}
    assert list(rows) == list(DATASETS)
    assert {name for name, row in rows.items() if row.present} == {"mnist-mini", "mnist", "fashion-mnist-sample", "cifar10-jpg-sample"}
    assert (rows["cifar100"].train, rows["cifar100"].valid, rows["cifar100"].test) == (40_000, 10_000, 10_000)
    assert (rows["cifar100"].classes, rows["cifar100"].channels, rows["cifar100"].size) == (100, 3, 32)
    (tmp_path / DATASETS["mnist"].files[2]).unlink()
    assert not {row.name: row for row in dataset_status(tmp_path)}["mnist"].present


def test_the_data_root_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.delenv("RESNET_DATA")
    assert data_root() == Path("data")


def test_a_data_set_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data fetch cifar10") as caught:
        load_split(DataConfig(dataset="cifar10"), "test", root=tmp_path)
    assert caught.value.code == "data_missing"
    assert load_spec(DataConfig(dataset="cifar10", image_size=64), root=tmp_path).height == 64  # the spec needs no files


def test_images_are_resized_as_the_config_says() -> None:
    from torchvision.transforms.v2.functional import resize

    spec, small = load_split(DataConfig(image_size=16), "test")
    _, own = load_split(DataConfig(), "test")
    assert (spec.height, spec.width, small.images.shape) == (16, 16, (10_000, 1, 16, 16))
    assert torch.equal(small.images[::997], resize(own.images[::997], [16, 16], antialias=True))
    assert torch.equal(small.labels, own.labels)


def test_a_split_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="train, valid, test"):
        load_split(DataConfig(), "exam")
