"""Connected pieces of ink, and what is no part of a digit."""

import time

import numpy as np
import pytest

from resnet_core.data.ink_pieces import Mask, connected_pieces, digit_pieces, grown, is_frame, is_line


def blank(height: int = 100, width: int = 80) -> Mask:
    return np.zeros((height, width), bool)


def with_digit(mask: Mask) -> Mask:
    mask[30:70, 35:41] = True
    return mask


def by_hand(mask: Mask) -> set[frozenset[tuple[int, int]]]:
    """The pieces by depth-first search, as sets of places."""
    left, pieces = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True)), set()
    while left:
        stack, piece = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            piece.add((y, x))
            for neighbour in {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left:
                left.remove(neighbour)
                stack.append(neighbour)
        pieces.add(frozenset(piece))
    return pieces


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_pieces_are_those_of_a_search_by_hand(share: float) -> None:
    mask = np.random.default_rng(0).random((30, 41)) < share
    pieces = connected_pieces(mask)
    found = {frozenset(zip(*map(np.ndarray.tolist, np.nonzero(piece)), strict=True)) for piece in pieces}
    assert found == by_hand(mask)
    assert len(found) == len(pieces)


def test_no_ink_full_ink_and_one_pixel() -> None:
    assert connected_pieces(blank()) == []
    assert digit_pieces(blank()).removed == 0
    assert not digit_pieces(blank()).mask.any()
    assert digit_pieces(~blank()).mask.all()
    assert digit_pieces(np.ones((1, 1), bool)).mask.tolist() == [[True]]


def test_many_pieces_do_not_take_long() -> None:
    dots = blank(128, 128)
    dots[::4, ::4] = True
    start = time.perf_counter()
    assert len(connected_pieces(dots)) == 1024
    assert time.perf_counter() - start < 2


def test_touching_at_a_corner_is_one_piece_of_a_digit() -> None:
    mask = blank()
    mask[30:50, 30:50] = mask[50:70, 50:70] = True
    assert len(connected_pieces(mask)) == 2
    assert len(connected_pieces(grown(mask))) == 1


def test_a_digit_of_two_strokes_stays_whole_and_dirt_goes() -> None:
    mask = with_digit(blank())
    mask[40:60, 55:60] = True  # the second stroke of a 4, say
    mask[10, 10] = True
    found = digit_pieces(mask)
    assert found.removed == 1
    assert found.mask[50, 38]
    assert found.mask[50, 57]
    assert not found.mask[10, 10]


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("line", np.s_[80:82, :]),
        ("line", np.s_[:, 10:13]),
        ("frame", np.s_[:, :6]),
        ("frame", np.s_[90:, 60:]),  # a dark corner
    ],
)
def test_ruled_lines_and_frames_are_taken_away(kind: str, where: tuple[slice, slice]) -> None:
    piece = blank()
    piece[where] = True
    assert (is_line if kind == "line" else is_frame)(piece)
    found = digit_pieces(with_digit(piece.copy()))
    assert found.removed == 1
    assert np.array_equal(found.mask, grown(with_digit(blank())))


def test_a_frame_around_the_whole_image() -> None:
    frame = ~blank()
    frame[5:-5, 5:-5] = False
    assert is_frame(frame)
    assert digit_pieces(with_digit(frame)).removed == 1


def test_a_large_digit_is_neither_line_nor_frame() -> None:
    one = blank()
    one[2:98, 36:48] = True  # a one from top to bottom, thicker than a ruled line
    zero = blank()
    zero[5:95, 5:75] = True
    zero[20:80, 20:60] = False
    for digit in (one, zero):
        assert not is_line(digit)
        assert not is_frame(digit)
        assert digit_pieces(digit).removed == 0


def test_where_nothing_but_a_line_is_drawn_it_stays() -> None:
    line = blank()
    line[50:53, :] = True
    assert digit_pieces(line).removed == 0
    assert digit_pieces(line).mask.any()
