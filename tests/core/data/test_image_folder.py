"""image-folder:PATH: a person's own images, kept decoded."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from resnet_core.config import DataConfig
from resnet_core.data import streaming
from resnet_core.data.catalog import load_spec, load_split, load_splits, open_source
from resnet_core.data.image_folder import is_gray, measured, open_image_folder
from resnet_core.data.streaming import decoded_files, read_square
from resnet_core.errors import UserError

COLOURS = {"blue": (10, 20, 200), "green": (0, 180, 60), "red": (220, 30, 0)}


def fill(folder: Path, count: int, *, colour: tuple[int, int, int] | int, size: tuple[int, int] = (40, 30), ending: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(folder / f"{number:03}.{ending}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of one colour each, 5 images for training and 2 for testing."""
    for name, colour in COLOURS.items():
        fill(tmp_path / "mine" / "train" / name, 5, colour=colour)
        fill(tmp_path / "mine" / "test" / name, 2, colour=colour, ending="bmp")
    return tmp_path / "mine"


@pytest.fixture
def decoded_paths(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is decoded from now on."""
    paths: list[Path] = []

    def spy(file: Path, channels: int, size: int) -> NDArray[np.uint8]:
        paths.append(file)
        return read_square(file, channels, size)

    monkeypatch.setattr(streaming, "read_square", spy)
    return paths


def config_of(folder: Path, **settings: object) -> DataConfig:
    return DataConfig(dataset=f"image-folder:{folder}", **settings)  # type: ignore[arg-type]


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    return caught.value.code


def test_classes_are_sorted_and_every_image_has_its_own_classs_colour(folder: Path, tmp_path: Path) -> None:
    spec, test = load_split(config_of(folder), "test", root=tmp_path)
    assert spec.classes == ("blue", "green", "red")
    assert (spec.name, spec.channels, spec.height, spec.width) == (f"image-folder:{folder}", 3, 32, 32)
    assert test.images.dtype == torch.uint8
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    for image, label in zip(test.images, test.labels, strict=True):
        assert tuple(image[:, 16, 16].tolist()) == COLOURS[spec.classes[int(label)]]


def test_splits_of_a_folder(folder: Path, tmp_path: Path) -> None:
    splits = load_splits(config_of(folder, valid_fraction=0.2, image_size=16), root=tmp_path)
    assert splits.train.images.shape == (12, 3, 16, 16)
    assert splits.valid.labels.tolist() == [0, 1, 2]
    assert splits.test.images.shape == (6, 3, 16, 16)


def test_normalisation_is_that_of_the_training_images(folder: Path, tmp_path: Path) -> None:
    spec = load_spec(config_of(folder), root=tmp_path)
    colours = np.array(list(COLOURS.values())) / 255
    np.testing.assert_allclose(spec.mean, colours.mean(0), atol=1e-4)
    np.testing.assert_allclose(spec.std, colours.std(0), atol=1e-4)


def test_measured_against_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5000, 3, 9, 7), np.uint8)  # more than one chunk of the histogram
    images[:, 1] //= 3
    mean, std = measured(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 2, 3)), atol=5.1e-5)
    np.testing.assert_allclose(std, (images / 255).std((0, 2, 3)), atol=5.1e-5)
    assert measured(np.full((2, 1, 3, 3), 7, np.uint8))[1] > 0


def test_a_wide_image_is_squeezed_and_not_cropped(tmp_path: Path) -> None:
    wide = np.zeros((20, 80, 3), np.uint8)
    wide[:, :40] = (250, 0, 0)
    wide[:, 40:] = (0, 0, 250)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    square = read_square(tmp_path / "wide.png", 3, 32)
    assert square.shape == (3, 32, 32)
    assert (square[0, :, :15] == 250).all()
    assert (square[2, :, 17:] == 250).all()


def test_resizing_is_antialiased_like_torchvisions(tmp_path: Path) -> None:
    from torchvision.transforms.v2.functional import resize

    pixels = np.random.default_rng(1).integers(0, 256, (90, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    expected = resize(torch.from_numpy(pixels).permute(2, 0, 1), [32, 32], antialias=True).numpy()
    assert np.abs(read_square(tmp_path / "noise.png", 3, 32).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_the_asked_channels(mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{'tif' if mode in ('CMYK', 'I', 'F') else 'png'}"
    ramp = Image.linear_gradient("L")
    (Image.fromarray(np.asarray(ramp, np.uint16) * 257) if mode == "I;16" else ramp.convert(mode)).save(path)
    for channels in (1, 3):
        square = read_square(path, channels, 32)
        assert square.shape == (channels, 32, 32)
        assert square[0, 2].mean() < 60 < 190 < square[0, 29].mean()


def test_gray_folders_have_one_channel_also_when_saved_as_colour(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / part / "dark", 3, colour=(20, 20, 20), ending="jpg")
        fill(tmp_path / part / "light", 3, colour=200)
    spec, test = load_split(config_of(tmp_path), "test", root=tmp_path)
    assert spec.channels == 1
    assert test.images.flatten(1).float().mean(1).round().tolist() == [20, 20, 20, 200, 200, 200]


def test_one_coloured_image_among_64_makes_three_channels(tmp_path: Path) -> None:
    fill(tmp_path, 64, colour=90)
    files = tuple(sorted(tmp_path.iterdir()))
    assert is_gray(files)
    Image.new("RGB", (8, 8), (90, 91, 90)).save(files[40])
    assert not is_gray(files)


def test_the_test_part_is_not_decoded_before_it_is_asked_for(folder: Path, tmp_path: Path, decoded_paths: list[Path]) -> None:
    splits = load_splits(config_of(folder), root=tmp_path)
    assert len(decoded_paths) == 15
    assert not [path for path in decoded_paths if "test" in path.relative_to(folder).parts]
    assert len(splits.test) == 6
    assert len(decoded_paths) == 21


def test_the_second_opening_decodes_nothing_and_gives_the_same(folder: Path, tmp_path: Path, decoded_paths: list[Path]) -> None:
    first = load_splits(config_of(folder), root=tmp_path)
    first_test = first.test
    decoded_paths.clear()
    second = load_splits(config_of(folder), root=tmp_path)
    assert torch.equal(first_test.images, second.test.images)
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.train.labels, second.train.labels)
    assert first.spec == second.spec
    assert decoded_paths == []


def _add(folder: Path) -> None:
    fill(folder / "train" / "red", 6, colour=COLOURS["red"])


def _write_again(folder: Path) -> None:
    file = folder / "train" / "red" / "000.png"
    before = file.stat()
    Image.new("RGB", (40, 30), (9, 9, 9)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def _rename(folder: Path) -> None:
    (folder / "train" / "red" / "000.png").rename(folder / "train" / "blue" / "zzz.png")


@pytest.mark.parametrize("change", [_add, _write_again, _rename])
def test_a_changed_folder_is_decoded_again(change: Callable[[Path], None], folder: Path, tmp_path: Path, decoded_paths: list[Path]) -> None:
    config = config_of(folder)
    load_spec(config, root=tmp_path)
    decoded_paths.clear()
    change(folder)
    source = open_source(config, tmp_path)
    assert len(decoded_paths) == source.counts["train"]
    assert len(list((tmp_path / "cache").iterdir())) == 1  # the new images took the old ones' place
    fresh = open_image_folder("x", folder, root=tmp_path / "elsewhere")
    assert torch.equal(source.read("train").images, fresh.read("train").images)
    assert source.spec.mean == fresh.spec.mean


def test_two_sizes_are_kept_side_by_side(folder: Path, tmp_path: Path, decoded_paths: list[Path]) -> None:
    for size in (16, 24, 16, 24):
        assert load_spec(config_of(folder, image_size=size), root=tmp_path).height == size
    assert len(decoded_paths) == 2 * 15


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "empty"])
def test_a_damaged_cache_is_ignored_and_replaced(damage: str, folder: Path, tmp_path: Path, decoded_paths: list[Path]) -> None:
    good = open_source(config_of(folder), tmp_path).read("train")
    (file,) = (tmp_path / "cache").iterdir()
    raw = bytearray(file.read_bytes())
    raw[len(raw) - 20_000] ^= 0xFF  # inside the images
    file.write_bytes({"truncated": bytes(raw[: len(raw) // 2]), "flipped": bytes(raw), "text": b"not an archive", "empty": b""}[damage])
    decoded_paths.clear()
    again = open_source(config_of(folder), tmp_path).read("train")
    assert torch.equal(good.images, again.images)
    assert len(decoded_paths) == 15
    open_source(config_of(folder), tmp_path).read("train")
    assert len(decoded_paths) == 15


def test_without_a_place_for_the_cache_it_works_all_the_same(folder: Path, tmp_path: Path, decoded_paths: list[Path]) -> None:
    (tmp_path / "file").write_text("in the way")
    splits = load_splits(config_of(folder), root=tmp_path / "file")
    assert len(splits.train) + len(splits.valid) == 15
    assert len(decoded_paths) == 15  # measured and handed on: decoded once


def test_no_half_written_cache_is_left(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: object, **arrays: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    load_spec(config_of(folder), root=tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


def test_progress_reaches_the_number_of_images(tmp_path: Path) -> None:
    fill(tmp_path, 300, colour=5, size=(8, 8), ending="bmp")
    told: list[tuple[int, int | None]] = []
    decoded_files(tuple(sorted(tmp_path.iterdir())), 1, 8, lambda done, total: told.append((done, total)))
    assert told == [(128, 300), (256, 300), (300, 300)]


def test_notes_hidden_files_and_folders_inside_are_left_aside(folder: Path, tmp_path: Path) -> None:
    red = folder / "train" / "red"
    (red / "notes.txt").write_text("five reds")
    (red / ".hidden.png").write_text("not an image")
    (red / "more.png").mkdir()
    (folder / "train" / ".cache").mkdir()
    assert open_source(config_of(folder), tmp_path).counts == {"train": 15, "test": 6}


def test_a_test_part_may_lack_a_class(folder: Path, tmp_path: Path) -> None:
    for file in (folder / "test" / "green").iterdir():
        file.unlink()
    (folder / "test" / "green").rmdir()
    assert load_split(config_of(folder), "test", root=tmp_path)[1].labels.tolist() == [0, 0, 2, 2]


def test_what_is_wrong_with_a_folder_is_said_at_once(folder: Path, tmp_path: Path, decoded_paths: list[Path]) -> None:
    def opened() -> object:
        return load_splits(config_of(folder), root=tmp_path)

    assert code_of(lambda: load_spec(config_of(tmp_path / "nowhere"), root=tmp_path)) == "folder_missing"
    (folder / "test" / "violet").mkdir()
    assert code_of(opened) == "folder_classes_differ"
    (folder / "test" / "violet").rmdir()
    (folder / "train" / "violet").mkdir()
    assert code_of(opened) == "folder_empty_class"
    (folder / "train" / "violet" / "broken.png").write_text("a text")
    assert code_of(opened) == "image_unreadable"
    assert decoded_paths  # that one needed decoding, the others did not
    (folder / "test").rename(folder / "exam")
    assert code_of(opened) == "folder_missing"
    (folder / "exam").rename(folder / "test")
    for name in ("blue", "green", "red"):
        (folder / "train" / name).rename(tmp_path / name)
    assert code_of(opened) == "folder_one_class"


def test_the_unreadable_image_is_named(folder: Path, tmp_path: Path) -> None:
    broken = folder / "test" / "green" / "001.bmp"
    broken.write_bytes(broken.read_bytes()[:60])
    splits = load_splits(config_of(folder), root=tmp_path)
    with pytest.raises(UserError) as caught:
        _ = splits.test
    assert caught.value.code == "image_unreadable"
    assert str(broken) in str(caught.value)


def test_on_cifar10_as_jpeg(full_data: Path, tmp_path: Path) -> None:
    """Lossy, but nearly the published means and deviations of CIFAR-10's training images."""
    place = full_data / "cifar10-jpg"
    if not place.is_dir():
        pytest.skip(f"{place} is not there")
    sample = tmp_path / "sample"
    for part, step in (("train", 100), ("test", 200)):
        for name in sorted(os.listdir(place / part)):
            (sample / part / name).mkdir(parents=True)
            for file in sorted(os.listdir(place / part / name))[::step]:
                (sample / part / name / file).symlink_to(place / part / name / file)
    source = open_source(config_of(sample), tmp_path)
    assert source.counts == {"train": 500, "test": 50}
    np.testing.assert_allclose(source.spec.mean, (0.4914, 0.4822, 0.4465), atol=0.015)
    np.testing.assert_allclose(source.spec.std, (0.2470, 0.2435, 0.2616), atol=0.015)
    first = np.asarray(Image.open(place / "train" / "airplane" / sorted(os.listdir(place / "train" / "airplane"))[0]))
    assert np.array_equal(source.read("train").images[0].permute(1, 2, 0).numpy(), first)
