"""MNIST with the strokes of twenty writers: what it holds, and whom it never looks at."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_core.config import DataConfig
from resnet_core.data import sketch_training
from resnet_core.data.catalog import load_split, load_splits
from resnet_core.data.pen_strokes import StrokeDigit, read_unipen
from resnet_core.data.sketch_training import BEND, DRAWINGS, SLANT, drawings, redrawn
from resnet_core.data.spec import Split
from resnet_core.errors import UserError

# Every writer has drawn a one and a seven, the two apart from each other by their writer's slant.
DIGIT = '.SEGMENT DIGIT {first} ? "1"\n.COMMENT 1 {writer} 1\n.PEN_DOWN\n {top} 400\n 100 200\n.PEN_UP\n.DT 100\n'


@pytest.fixture
def strokes(tmp_path: Path) -> Path:
    file = tmp_path / "strokes.unipen.gz"
    text = "".join(DIGIT.format(first=index, writer=writer, top=100 + 3 * writer) for index, writer in enumerate(range(1, 31)))
    file.write_bytes(gzip.compress(text.encode()))
    return file


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with MNIST's file names; what is read of them is ten images by hand."""
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").touch()

    def read(class_name: str, spec: object, root: Path, part: str) -> Split:
        images = torch.full((10, 1, 28, 28), 7 if part == "train" else 9, dtype=torch.uint8)
        return Split(images=images, labels=torch.arange(10))

    monkeypatch.setattr(sketch_training, "read_torchvision", read)
    return tmp_path / "data"


def test_only_the_first_twenty_writers_are_drawn_and_the_test_part_is_mnists(strokes: Path, mnist: Path) -> None:
    source_digits = read_unipen(strokes)
    assert {digit.writer for digit in source_digits} == set(range(1, 31))
    config = DataConfig(dataset=f"sketch-digits:{strokes}", valid_fraction=0.2)
    splits = load_splits(config, root=mnist)
    assert len(splits.train) + len(splits.valid) == 10 + 20 * DRAWINGS
    assert (splits.test.images == 9).all()
    ones = torch.cat([split.images[split.images.float().mean((1, 2, 3)) != 7] for split in (splits.train, splits.valid)])
    expected = drawings([digit for digit in source_digits if digit.writer <= 20], DRAWINGS)
    assert sorted(ones.flatten(1).sum(1).tolist()) == sorted(expected.images.flatten(1).sum(1).tolist())


def test_drawings_are_kept_and_a_damaged_file_is_made_again(strokes: Path, mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(dataset=f"sketch-digits:{strokes}")
    _, first = load_split(config, "train", root=mnist)
    (kept,) = (mnist / "cache").glob("sketch-digits-*.npz")
    whole = kept.read_bytes()
    with monkeypatch.context() as nothing_drawn:
        nothing_drawn.setattr(sketch_training, "drawings", None)
        assert torch.equal(load_split(config, "train", root=mnist)[1].images, first.images)
    kept.write_bytes(whole[: len(whole) // 2])
    assert torch.equal(load_split(config, "train", root=mnist)[1].images, first.images)


def test_a_redrawn_digit_keeps_its_strokes_and_stays_near() -> None:
    line = np.stack([np.linspace(0, 100, 50), np.zeros(50)], 1)
    digit = StrokeDigit(label=4, writer=2, strokes=(line, line[:3] + 20))
    random = np.random.default_rng(0)
    many = [redrawn(digit, random) for _ in range(300)]
    assert all(other.label == 4 and [len(stroke) for stroke in other.strokes] == [50, 3] for other in many)
    slopes = [np.polyfit(*other.strokes[0].T, 1)[0] for other in many]  # a level line leans by the tilt and by how it bends
    assert np.abs(slopes).max() < 0.18 + 12 * BEND
    assert np.std(slopes) > 0.05
    upright = StrokeDigit(label=1, writer=1, strokes=(line[:, ::-1],))
    leans = [np.polyfit(*redrawn(upright, random).strokes[0][:, ::-1].T, 1)[0] for _ in range(300)]
    assert np.std(leans) > SLANT / np.sqrt(3)  # slant and tilt together lean more than slant alone


def test_drawings_follow_the_seed(strokes: Path) -> None:
    digits = read_unipen(strokes)[:5]
    first, again, other = (drawings(digits, 2, seed=seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[:5], first[5:])  # every round is another one


def test_mnist_must_be_there(strokes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_split(DataConfig(dataset=f"sketch-digits:{strokes}"), "train", root=tmp_path)
    assert caught.value.code == "data_missing"
