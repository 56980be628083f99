"""The strip of all blocks."""

from dashboard.charts.strip import StripBlock, StripRow, block_strip
from dashboard.charts.theme import SELECTED, network_style

BLOCKS = [
    StripBlock(name=f"stages.{s}.{b}", stage=s + 1, label=f"{s + 1}.{b + 1}", stage_label=f"stage {s + 1}")
    for s in range(3)
    for b in range(2)
]
RATIO = StripRow(title="ratio", values=[1, 2, 3, 4, 5, 6], spread=[0.1] * 6, reference=[2, 1, 2, 1, 2, 1], guide=[2, 1.4, 2, 1.4, 2, 1.4])
COSINE = StripRow(title="cosine", values=[0.1, None, -0.2, 0, 0, 0], range=(-1, 1))


def figure(rows=(RATIO, COSINE), selected="stages.1.0", model="resnet20"):  # type: ignore[no-untyped-def]
    return block_strip(
        BLOCKS,
        rows,
        style=network_style(model),
        value_label="now",
        reference_label="before",
        guide_label="line",
        x_title="block",
        selected=selected,
    )


def bars(drawn):  # type: ignore[no-untyped-def]
    return [trace for trace in drawn.data if trace.type == "bar" and trace.x[0] is not None]


def test_bars_hold_the_values_their_spread_and_the_blocks_names() -> None:
    ratio, cosine = bars(figure())
    assert list(ratio.y) == RATIO.values
    assert list(ratio.error_y.array) == RATIO.spread
    assert list(ratio.customdata) == [block.name for block in BLOCKS]
    assert list(cosine.y) == COSINE.values
    assert figure().layout.yaxis2.range == (-1, 1)


def test_the_reference_and_the_line_are_drawn_once_per_row_that_has_them() -> None:
    drawn = figure()
    (reference,) = [trace for trace in drawn.data if trace.name == "before"]
    assert list(reference.y) == RATIO.reference
    lines = [trace for trace in drawn.data if trace.name == "line"]
    assert [list(line.x) for line in lines] == [[0, 1], [2, 3], [4, 5]]  # broken between stages
    assert [line.showlegend for line in lines] == [True, False, False]


def test_only_the_chosen_block_has_the_colour_of_a_choice() -> None:
    colors = list(bars(figure())[0].marker.color)
    assert [color == SELECTED for color in colors] == [False, False, True, False, False, False]
    assert SELECTED not in bars(figure(selected=None))[0].marker.color


def test_the_legend_shows_the_network_s_own_colour_whatever_is_chosen() -> None:
    for model in ("resnet20", "plain20"):
        drawn = figure(selected="stages.0.0", model=model)
        (entry,) = [trace for trace in drawn.data if trace.name == "now" and trace.showlegend is not False]
        assert entry.marker.color == network_style(model).color


def test_stages_are_named_and_every_second_one_is_shaded() -> None:
    drawn = figure()
    assert [annotation.text for annotation in drawn.layout.annotations] == ["stage 1", "stage 2", "stage 3"]
    assert {(shape.x0, shape.x1) for shape in drawn.layout.shapes} == {(1.5, 3.5)}
    assert drawn.layout.xaxis2.ticktext == ("1", "2", "1", "2", "1", "2")
