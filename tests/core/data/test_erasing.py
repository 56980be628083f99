"""A part taken out of a drawing: nothing but that part, whatever crosses it."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from resnet_core.data.erasing import Line, erasures, thirds
from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.data.pen_strokes import StrokeDigit, render

ACROSS, DOWN = [(60.0, 140.0), (220.0, 140.0)], [(140.0, 40.0), (140.0, 250.0)]


def lines(*strokes: list[tuple[float, float]]) -> list[Line]:
    return [Line(points=np.array(stroke), width=20) for stroke in strokes]


def drawn(*strokes: list[tuple[float, float]]) -> np.ndarray:
    """As a browser draws: round ends, soft edges."""
    picture = Image.new("L", (1120, 1120))
    pen = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = [(4 * x, 4 * y) for x, y in stroke]
        pen.line(points, fill=255, width=80)
        for x, y in points:
            pen.ellipse((x - 40, y - 40, x + 40, y + 40), fill=255)
    return np.asarray(picture.reduce(4))


def test_without_one_of_two_crossing_strokes_the_other_one_is_whole() -> None:
    found = erasures(drawn(ACROSS, DOWN), lines(ACROSS, DOWN))
    assert [(one.kind, one.number, one.parts) for one in found] == [("stroke", 1, 2), ("stroke", 2, 2)]
    for one, other in zip(found, (drawn(DOWN), drawn(ACROSS)), strict=True):
        assert (one.ink[other > 0] >= other[other > 0]).all()  # nothing of the other is lost,
        assert one.ink[other == 0].sum() < 0.02 * one.part.sum() * 255  # and next to nothing of this one stays


def test_a_single_stroke_is_cut_into_thirds_of_equal_length() -> None:
    corner = [(60.0, 60.0), (210.0, 60.0), (210.0, 210.0)]
    parts = thirds(lines(corner)[0])
    assert [np.hypot(*np.diff(part.points, axis=0).T).sum() for part in parts] == pytest.approx([100] * 3)
    assert [tuple(part.points[0]) for part in parts] == [(60, 60), (160, 60), (210, 110)]
    found = erasures(drawn(corner), lines(corner))
    assert [one.kind for one in found] == ["third"] * 3
    assert found[0].ink[60, 100] == 0
    assert found[0].ink[60, 180] == 255


def test_a_dot_leaves_nothing() -> None:
    dot = [(100.0, 100.0), (100.0, 100.001)]
    (found,) = erasures(drawn(dot), lines(dot))
    assert (found.kind, found.parts) == ("stroke", 1)
    assert not found.ink.any()
    assert erasures(np.zeros((280, 280), np.uint8)) == ()


def test_without_strokes_pieces_are_taken_from_left_to_right_or_bands_from_a_single_one() -> None:
    two = StrokeDigit(label=4, writer=1, strokes=(np.array([(0.0, 0.0), (0.0, 10.0)]), np.array([(8.0, 0.0), (8.0, 10.0)])))
    ink = render(two, 10, 0.6)
    found = erasures(ink)
    assert [one.kind for one in found] == ["piece", "piece"]
    assert not found[0].ink[:, :140].any()
    assert np.array_equal(found[0].ink[:, 140:], ink[:, 140:])
    one = read_mnist_mini("test").images[0, 0].numpy()
    bands = erasures(one)
    assert [band.kind for band in bands] == ["band"] * 3
    assert np.array_equal(sum(one.astype(int) - band.ink for band in bands), one)
