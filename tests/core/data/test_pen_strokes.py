"""Digits as strokes of a pen, drawn and prepared like sketches."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_core.config import DataConfig
from resnet_core.data.catalog import load_spec, load_split, load_splits
from resnet_core.data.pen_strokes import CANVAS, StrokeDigit, prepared_split, read_unipen, render
from resnet_core.data.sketch import prepare_sketch
from resnet_core.errors import UserError

# A one of one stroke, a seven of two (strokes 1 and 2), and a dot; .DT tells how long the pen was up.
UNIPEN = """\
.INCLUDE        dene.doc
.LEXICON "0" "1" "2" "3" "4" "5" "6" "7" "8" "9"
.HIERARCHY      DIGIT

.SEGMENT DIGIT    0 ? "1"
.COMMENT 1 12  224
.PEN_DOWN
 100  400
 100  200
.PEN_UP
.DT 100

.SEGMENT DIGIT    1-2 ? "7"
.COMMENT 7 3  1
.PEN_DOWN
 100  300
 200  300
 150  100
.PEN_UP
.DT 100
.PEN_DOWN
 140  200
 180  200
.PEN_UP
.DT 100

.SEGMENT DIGIT    3 ? "0"
.COMMENT 0 12  2
.PEN_DOWN
 50 60
.PEN_UP
.DT 100
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "strokes.unipen.gz"
    path.write_bytes(gzip.compress(UNIPEN.encode()))
    return path


def digit(*strokes: list[tuple[float, float]], label: int = 0, writer: int = 1) -> StrokeDigit:
    return StrokeDigit(label=label, writer=writer, strokes=tuple(np.array(stroke, float) for stroke in strokes))


def ink_box(picture: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_reads_labels_writers_and_each_digits_own_strokes(file: Path) -> None:
    one, seven, dot = read_unipen(file)
    assert [(d.label, d.writer, len(d.strokes)) for d in (one, seven, dot)] == [(1, 12, 1), (7, 3, 2), (0, 12, 1)]
    assert one.strokes[0].tolist() == [[100, 400], [100, 200]]
    assert seven.strokes[0].tolist() == [[100, 300], [200, 300], [150, 100]]
    assert seven.strokes[1].tolist() == [[140, 200], [180, 200]]
    assert dot.strokes[0].tolist() == [[50, 60]]


def test_plain_and_gzipped_are_the_same(file: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text(UNIPEN)
    for plain, zipped in zip(read_unipen(tmp_path / "plain"), read_unipen(file), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(plain.strokes, zipped.strokes, strict=True))


def test_a_missing_file_and_what_is_no_unipen(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_unipen(tmp_path / "nowhere")
    assert caught.value.code == "file_missing"
    zipped = gzip.compress(UNIPEN.encode())
    wrong = {
        "empty": b"",
        "text": b"a text",
        "cut archive": zipped[: len(zipped) // 2],
        "cut inside a stroke": UNIPEN[: UNIPEN.index(" 150  100")].encode(),
        "a stroke that is not there": UNIPEN.replace("1-2", "1-20").encode(),
        "half a point": UNIPEN.replace(" 100  200", " 100").encode(),
        "a word for a number": UNIPEN.replace(" 100  200", " 100  high").encode(),
    }
    for raw in (*wrong.values(),):
        (tmp_path / "wrong").write_bytes(raw)
        with pytest.raises(UserError) as caught:
            read_unipen(tmp_path / "wrong")
        assert caught.value.code == "strokes_unreadable"
    with pytest.raises(UserError, match="directory"):
        read_unipen(tmp_path)


def test_the_longer_side_takes_its_share_of_the_canvas_in_the_middle() -> None:
    high = digit([(10, 0), (30, 100), (10, 50)])
    for size, brush in ((0.6, 20), (0.4, 12), (0.8, 1)):
        left, top, right, bottom = ink_box(render(high, brush, size))
        assert bottom - top == pytest.approx(size * CANVAS + brush, abs=1.5)
        assert right - left == pytest.approx(0.2 * size * CANVAS + brush, abs=1.5)
        assert (left + right) / 2 == pytest.approx(CANVAS / 2, abs=1)
        assert (top + bottom) / 2 == pytest.approx(CANVAS / 2, abs=1)


def test_y_points_upwards_and_place_is_from_left_and_top() -> None:
    seven = digit([(0, 100), (100, 100), (50, 0)])
    picture = render(seven)
    assert picture[: CANVAS // 2].sum(dtype=int) > 1.5 * picture[CANVAS // 2 :].sum(dtype=int)
    left, top, right, bottom = ink_box(render(seven, 10, 0.2, (0.3, 0.7)))
    assert (left + right) / 2 == pytest.approx(0.3 * CANVAS, abs=1)
    assert (top + bottom) / 2 == pytest.approx(0.7 * CANVAS, abs=1)


@pytest.mark.parametrize("brush", [6, 15, 20, 31])
def test_the_brush_is_round_and_as_wide_as_it_says(brush: int) -> None:
    y, x = np.mgrid[:CANVAS, :CANVAS] + 0.5
    dot = render(digit([(7, 7)]), brush) / 255
    disc = np.hypot(x - CANVAS / 2, y - CANVAS / 2) <= brush / 2
    assert np.abs(dot - disc).sum() < 1.2 * np.pi * brush / 2  # at most about half a pixel along the edge
    slanted = render(digit([(0, 0), (100, 100)]), brush, 0.5) / 255
    along, across = ((x - CANVAS / 2) - (y - CANVAS / 2)) / np.sqrt(2), ((x - CANVAS / 2) + (y - CANVAS / 2)) / np.sqrt(2)
    beyond = np.maximum(np.abs(along) - 0.25 * CANVAS * np.sqrt(2), 0)
    capsule = np.hypot(beyond, across) <= brush / 2
    assert slanted.sum() == pytest.approx(capsule.sum(), rel=0.06)


def test_prepared_as_a_sketch_of_the_same_drawing(file: Path) -> None:
    digits = read_unipen(file)
    split = prepared_split(digits)
    assert split.images.shape == (3, 1, 28, 28)
    assert split.images.dtype == torch.uint8
    assert split.labels.tolist() == [1, 7, 0]
    for image, drawn in zip(split.images, digits, strict=True):
        assert np.array_equal(image[0].numpy(), prepare_sketch(render(drawn)).image)


def test_random_places_are_repeatable_whole_and_change_next_to_nothing() -> None:
    digits = [digit([(0, 0), (30, 100), (60, 20)], label=n % 10, writer=n % 4) for n in range(40)]
    centred, moved = prepared_split(digits), prepared_split(digits, seed=3)
    assert torch.equal(moved.images, prepared_split(digits, seed=3).images)
    assert not torch.equal(moved.images, prepared_split(digits, seed=4).images)
    assert not torch.equal(moved.images, centred.images)  # other grey edges,
    difference = (moved.images.float() - centred.images.float()).abs().mean((1, 2, 3))
    assert difference.max() < 8  # but cropped and centred, so no part was cut off


def test_writers_choose_and_leave_places_alone() -> None:
    digits = [digit([(0, 0), (30, 100 - n), (60, 20)], label=n, writer=n % 3) for n in range(9)]
    everyone, some = prepared_split(digits, seed=5), prepared_split(digits, seed=5, writers={0, 2})
    chosen = [n for n in range(9) if n % 3 != 1]
    assert some.labels.tolist() == chosen
    assert torch.equal(some.images, everyone.images[chosen])


def test_as_a_data_set_it_has_a_test_part_only(file: Path) -> None:
    config = DataConfig(dataset=f"pen-strokes:{file}")
    spec, test = load_split(config, "test")
    assert spec == load_spec(config)
    assert (spec.name, spec.channels, spec.height, spec.classes) == (config.dataset, 1, 28, tuple("0123456789"))
    assert torch.equal(test.images, prepared_split(read_unipen(file)).images)
    assert load_split(DataConfig(dataset=config.dataset, image_size=32), "test")[1].images.shape == (3, 1, 32, 32)
    for action in (lambda: load_splits(config), lambda: load_split(config, "train"), lambda: load_split(config, "valid")):
        with pytest.raises(UserError) as caught:
            action()
        assert caught.value.code == "test_only"
