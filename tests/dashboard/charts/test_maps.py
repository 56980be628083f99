"""Feature maps side by side: what the figure holds is what it was given."""

import numpy as np
import pytest

from dashboard.charts.maps import MapPanel, linked_maps, tiled

BIG = np.arange(16, dtype=np.float32).reshape(4, 4) - 10
SMALL = np.array([[1.0, -2.0], [3.0, 0.5]], dtype=np.float32)


def test_all_panels_share_one_scale_centred_on_zero() -> None:
    figure = linked_maps([MapPanel(title="a", values=BIG), MapPanel(title="b", values=SMALL)], value_title="activation")
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-10, 10)
    assert [trace.coloraxis for trace in figure.data] == ["coloraxis", "coloraxis"]
    assert np.array_equal(figure.data[0].z, BIG)
    assert np.array_equal(figure.data[1].z, SMALL)
    assert [annotation.text for annotation in figure.layout.annotations] == ["a", "b"]


def test_maps_of_different_size_cover_the_same_square() -> None:
    figure = linked_maps([MapPanel(title="a", values=BIG), MapPanel(title="b", values=SMALL)], value_title="v")
    small = figure.data[1]
    assert (small.x0, small.dx) == (1, 2)  # two cells of width 2 from 0 to 4
    assert figure.layout.xaxis2.matches == "x"
    assert figure.layout.yaxis2.matches == "y"


def test_zoom_moves_all_panels_and_rows_run_downwards() -> None:
    figure = linked_maps([MapPanel(title="a", values=BIG)] * 4, value_title="v")
    assert all(figure.layout[f"xaxis{n}"].matches == "x" for n in (2, 3, 4))
    assert figure.layout.yaxis.range == (4, 0)


def test_a_missing_map_says_why() -> None:
    figure = linked_maps([MapPanel(title="a", values=None, note="no shortcut"), MapPanel(title="b", values=SMALL)], value_title="v")
    assert "no shortcut" in [annotation.text for annotation in figure.layout.annotations]


def test_nothing_but_zeros_and_nothing_at_all_can_be_drawn() -> None:
    zeros = linked_maps([MapPanel(title="a", values=np.zeros((3, 3)))], value_title="v")
    assert zeros.layout.coloraxis.cmax == 1
    assert linked_maps([MapPanel(title="a", values=None, note="-")], value_title="v").data


def test_given_texts_stand_under_the_cursor() -> None:
    texts = [["1 + 2 = 3", "b"], ["c", "d"]]
    trace = linked_maps([MapPanel(title="a", values=SMALL, texts=texts)], value_title="v").data[0]
    assert trace.text[0][0] == "1 + 2 = 3"
    assert trace.hovertemplate == "%{text}<extra></extra>"


@pytest.mark.parametrize("count", [1, 3, 16, 17])
def test_a_sheet_holds_every_channel_once(count: int) -> None:
    channels = np.random.default_rng(0).normal(size=(count, 2, 3)).astype(np.float32)
    sheet = tiled(channels)
    seen = sheet[np.isfinite(sheet)]
    assert sorted(seen.tolist()) == sorted(channels.ravel().tolist())
    assert np.array_equal(sheet[:2, :3], channels[0])
    if count > 1:
        assert np.isnan(sheet[:, 3]).all()  # the line between two channels
