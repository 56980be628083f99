"""Curves of gradient norms, the split of a block, norms over a training, and networks by depth."""

import math

import numpy as np
import pandas as pd
import pytest

from dashboard.charts.curves import smoothed
from dashboard.charts.gradient_depth import Band, depth_norms_chart, ratio_chart
from dashboard.charts.gradient_history import binned_norms, common_limits, norm_heatmap, recorded_norms
from dashboard.charts.gradient_norms import (
    Flow,
    NormLine,
    NormRow,
    SplitLabels,
    flow_figure,
    layer_places,
    log_ticks,
    norm_figure,
    split_figure,
)
from dashboard.charts.strip import StripBlock
from dashboard.charts.theme import PLAIN, RESNET, SELECTED, network_style

BLOCKS = [
    StripBlock(name=f"stages.{s}.{b}", stage=s + 1, label=f"{s + 1}.{b + 1}", stage_label=f"stage {s + 1}")
    for s in range(3)
    for b in range(2)
]
NAMES = [block.name for block in BLOCKS]
LAYERS = ["stem.conv", *(f"{name}.residual.conv{number}" for name in NAMES for number in (1, 2)), "head.fc"]


def line(model: str, values: list[float], x: list[float] | None = None, **more: bool) -> NormLine:
    places = x or [float(place) for place in range(len(values))]
    return NormLine(name=model, style=network_style(model), x=places, y=values, texts=[f"t{p}" for p in places], **more)


def test_layers_stand_at_their_blocks() -> None:
    places = layer_places(LAYERS, NAMES)
    assert places[0] == -1
    assert places[-1] == len(BLOCKS)
    assert places[1:3] == [-0.25, 0.25]
    assert [round(place) for place in places[1:-1]] == [number for number in range(6) for _ in range(2)]
    assert places == sorted(places)


def test_layers_of_a_network_without_blocks_stand_in_their_order() -> None:
    assert layer_places(["features.0", "features.3", "classifier"], []) == [0, 1, 2]
    drawn = norm_figure([], [NormRow(title="weights", lines=[line("alexnet", [1.0, 0.1, 0.01])])], x_title="layer")
    assert list(drawn.data[0].y) == [1.0, 0.1, 0.01]
    assert drawn.layout.xaxis.title.text == "layer"


def test_curves_keep_colour_and_dash_and_share_one_logarithmic_axis() -> None:
    rows = [
        NormRow(title="inputs", lines=[line("start", [1.0] * 6, reference=True), line("resnet14", [1.0] * 6), line("plain14", [1e-5] * 6)]),
        NormRow(title="weights", lines=[line("resnet14", [0.0] + [1.0] * 13, layer_places(LAYERS, NAMES))]),
    ]
    drawn = norm_figure(BLOCKS, rows, x_title="block", selected="stages.1.0")
    start, residual, plain, weights = drawn.data
    assert (residual.line.color, residual.line.dash) == (RESNET, "solid")
    assert plain.line.color == PLAIN
    assert plain.line.dash != "solid"
    assert start.mode == "lines"
    assert {axis.type for axis in (drawn.layout.yaxis, drawn.layout.yaxis2)} == {"log"}
    assert weights.y[0] is None, "0 has no place on a logarithmic axis"
    assert list(residual.customdata) == NAMES
    assert list(weights.customdata)[:3] == ["", "stages.0.0", "stages.0.0"]
    assert [shape.x0 for shape in drawn.layout.shapes if shape.line.color == SELECTED] == [2, 2]


@pytest.mark.parametrize("values", [[0.01, 0.1], [0.02, 0.9], [1.0, 40.0], [1e-7, 1.0], [3e-12, 2.0], [0.5], []])
def test_a_logarithmic_axis_has_a_few_ticks_in_sight(values: list[float]) -> None:
    ticks, texts = log_ticks(values)
    assert len(ticks) == len(texts)
    low, high = min(values, default=1), max(values, default=1)
    within = [tick for tick in ticks if low / 2 <= tick <= high * 2]
    assert 1 <= len(within) <= 7
    for tick, text in zip(ticks, texts, strict=True):
        written = (
            10.0 ** int(text.removeprefix("10<sup>").removesuffix("</sup>").replace("−", "-"))
            if text.startswith("10<sup>")
            else float(text)
        )
        assert written == pytest.approx(tick, rel=1e-2)


def test_two_bars_per_block() -> None:
    labels = SplitLabels(residual="F", shortcut="s", y_title="norm", x_title="block")
    drawn = split_figure(BLOCKS, [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], labels=labels, selected="stages.0.1")
    first, second = drawn.data
    assert (list(first.y), list(second.y)) == ([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])
    assert list(first.customdata) == NAMES
    assert drawn.layout.barmode == "group"


def test_the_way_back_shows_each_number_and_the_same_one_for_both_paths_at_the_add() -> None:
    drawn = flow_figure(Flow(at_add=0.5, residual=0.125, shortcut=0.25, total=0.3, shortcut_name="identity"))
    texts = [annotation.text for annotation in drawn.layout.annotations]
    assert texts.count("0.500") == 3
    assert {"0.125", "0.250", "0.300", "<b>identity</b>", "<b>F</b>"} <= set(texts)
    widths = [annotation.arrowwidth for annotation in drawn.layout.annotations if annotation.showarrow]
    assert widths[1] == widths[3] == max(widths), "what goes into F and into the shortcut is the same"


def test_steps_are_gathered_by_their_geometric_mean() -> None:
    data = binned_norms([1, 2, 3, 4], {"stem": [1.0, 100.0, 4.0, 4.0], "head": [0.0, 0.0, 2.0, math.inf]}, columns=2)
    assert data.to_dict("records") == [
        {"part": "stem", "start": 0, "end": 2, "norm": pytest.approx(10)},
        {"part": "stem", "start": 2, "end": 4, "norm": pytest.approx(4)},
        {"part": "head", "start": 2, "end": 4, "norm": pytest.approx(2)},
    ]
    assert common_limits([data]) == (1, 10)
    assert common_limits([data.assign(norm=5.0)]) == (1, 10)
    some = binned_norms([1, 3, 6, 9], {"stem": [1.0, 1.0, 1.0, 1.0]}, columns=2)
    assert [(row["start"], row["end"]) for row in some.to_dict("records")] == [(0, 3), (3, 9)], "steps that were not kept leave no gap"
    empty = binned_norms([], {"stem": []})
    assert empty.empty
    assert common_limits([empty]) == (0.1, 10)


def test_the_heatmap_names_parts_from_the_stem_upwards_and_keeps_its_axis() -> None:
    data = binned_norms(list(range(1, 301)), {"stem": [0.1] * 300, "stages.0": [1.0] * 300, "head": [10.0] * 300})
    assert len(data) == 360
    words = {"stem": "stem", "stages.0": "stage 1", "head": "head"}
    spec = norm_heatmap(data, words, x_title="step", norm_title="norm", limits=(0.1, 10), x_end=900).to_dict()
    assert spec["encoding"]["y"]["scale"]["domain"] == ["head", "stage 1", "stem"]
    assert spec["encoding"]["x"]["scale"]["domain"] == [0, 900]
    color = spec["encoding"]["color"]
    assert color["scale"]["type"] == "log"
    assert color["scale"]["domain"] == pytest.approx([0.1, 1, 10])
    assert color["legend"]["values"] == pytest.approx([0.1, 1, 10])


def test_bands_reach_from_the_lowest_to_the_highest_seed() -> None:
    bands = [Band(name=name, style=network_style(name), points={8: [0.3, 0.1, 0.2], 20: [1.0, 3.0, 2.0]}) for name in ("resnet", "plain")]
    spec = ratio_chart(bands, x_title="depth", y_title="ratio", limits=(-1, 1)).to_dict()
    tables = [pd.DataFrame(rows) for rows in spec["datasets"].values()]
    (drawn,) = [table for table in tables if "middle" in table]
    assert drawn[["x", "low", "middle", "high"]].values.tolist()[:2] == [[8, 0.1, 0.2, 0.3], [20, 1.0, 2.0, 3.0]]
    assert sorted(table["y"].tolist() for table in tables if "middle" not in table) == [[-1, 1], [0]]
    zero = [Band(name="plain", style=network_style("plain"), points={1: [0.0, 1.0, 1.0], 2: [1.0, 1.0, 1.0]})]
    spec = depth_norms_chart(zero, x_title="block", y_title="norm").to_dict()
    (rows,) = spec["datasets"].values()
    assert [row["x"] for row in rows] == [2], "0 has no place on a logarithmic axis"


def test_recorded_norms_reach_back_to_the_recording_before() -> None:
    table = recorded_norms([10, 20, 30], {"a": [1.0, None, 4.0], "b": [0.0, 2.0, float("inf")]})
    assert table.to_dict("records") == [
        {"part": "a", "start": 0, "end": 10, "norm": 1.0},
        {"part": "a", "start": 20, "end": 30, "norm": 4.0},
        {"part": "b", "start": 10, "end": 20, "norm": 2.0},
    ]
    many = recorded_norms(list(range(1, 1001)), {"a": [1.0] * 1000}, columns=100)
    assert len(many) == 100
    assert many["end"].iloc[-1] == 1000  # the newest is there, whatever the number
    assert (many["start"].iloc[1:].to_numpy() == many["end"].iloc[:-1].to_numpy()).all()


@pytest.mark.parametrize("every", [1, 4, 10])
def test_a_smoothed_loss_looks_back_over_steps_however_many_of_them_are_kept(every: int) -> None:
    steps = np.arange(1, 2001)
    loss = 2.3 * np.exp(-steps / 300)
    whole, kept = smoothed(list(steps), list(loss)), steps[every - 1 :: every]
    thin = smoothed(list(kept), list(loss[every - 1 :: every]))
    assert thin[50:] == pytest.approx(whole[kept - 1][50:], rel=0.05)


def test_a_smoothed_loss_of_few_steps_reaches_its_end() -> None:
    values = np.linspace(2.3, 0.5, 30)
    assert smoothed(list(range(30)), list(values))[-1] == pytest.approx(0.5, abs=0.15)
    assert len(smoothed([], [])) == 0
