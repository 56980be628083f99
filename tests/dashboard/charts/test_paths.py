"""The three pictures of paths by length."""

from plotly import graph_objects as go

from dashboard.charts.paths import PathBar, PathWords, path_figure
from dashboard.charts.theme import PLAIN, RESNET, network_style

WORDS = PathWords(count="count", norm="norm", part="part", length="length", exact="exact", estimate="estimate")


def figure(norms: list[float], model: str = "resnet20") -> go.Figure:
    bars = [PathBar(length=k, paths=10 + k, norm=norm, spread=0.5, share=0.1 * k, part=0.2 - 0.1 * k) for k, norm in enumerate(norms)]
    return path_figure(bars, style=network_style(model), words=WORDS)


def test_each_picture_holds_its_numbers() -> None:
    counts, norms, exact, estimate = figure([1.0, 0.5, 0.25]).data
    assert list(counts.y) == [10, 11, 12]
    assert (list(norms.x), list(norms.y), list(norms.customdata)) == ([0, 1, 2], [1.0, 0.5, 0.25], [0.5] * 3)
    assert list(exact.y) == [0.2, 0.1, 0.0]
    assert list(estimate.y) == [0.0, 0.1, 0.2]
    assert [trace.showlegend for trace in (counts, norms)] == [False, False]
    assert (exact.name, estimate.name) == ("exact", "estimate")


def test_the_measured_ones_have_the_network_s_colour() -> None:
    for model, color in (("resnet20", RESNET), ("plain20", PLAIN)):
        _, norms, exact, _ = figure([1.0, 0.5], model).data
        assert norms.line.color == exact.marker.color == color


def test_a_path_without_gradient_has_no_place_on_a_logarithmic_axis() -> None:
    drawn = figure([1.0, 0.0, 0.25])
    assert list(drawn.data[1].x) == [0, 2]
    assert drawn.layout.yaxis2.type == "log"
    assert list(figure([0.0, 0.0]).data[1].x) == []


def test_ticks_stand_at_whole_powers_where_there_are_any() -> None:
    assert figure([1.0, 0.5]).layout.yaxis2.tickformat == ".1e"
    assert figure([1.0, 1e-3]).layout.yaxis2.dtick == 1
    assert figure([1.0, 1e-9]).layout.yaxis2.dtick == 2
