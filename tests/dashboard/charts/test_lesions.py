"""What blocks are worth: the charts hold what they were given."""

import math
from dataclasses import replace
from typing import Any

from dashboard.charts.lesions import Band, NetworkValues, accuracy_bars, class_change_bars, loss_bands
from dashboard.charts.theme import network_style

NETWORKS = [
    NetworkValues(name="ResNet-8", style=network_style("resnet8"), values=[0.5, 0.9, 0.8], whole=0.95),
    NetworkValues(name="Plain-8", style=network_style("plain8"), values=[0.1, math.nan, 0.3], whole=0.9),
]


def rows(chart: Any) -> list[dict[str, Any]]:
    return [row for data in chart.to_dict()["datasets"].values() for row in data]


def test_bars_hold_every_value_and_the_lines_of_the_whole_networks() -> None:
    chart = accuracy_bars(["1.1", "2.1", "3.1"], NETWORKS, chance=0.1, x_title="block", y_title="accuracy")
    found = rows(chart)
    bars = {(row["network"], row["block"]): row["accuracy"] for row in found if "block" in row}
    assert bars[("ResNet-8", "2.1")] == 0.9
    assert bars[("Plain-8", "3.1")] == 0.3
    assert bars[("Plain-8", "2.1")] is None  # a class without images has no bar
    assert [row["whole"] for row in found if "whole" in row] == [0.95, 0.9]
    assert [row["line"] for row in found if "line" in row] == [0.1]
    colors = chart.to_dict()["layer"][0]["encoding"]["color"]["scale"]
    assert colors == {"domain": ["ResNet-8", "Plain-8"], "range": [network_style("resnet8").color, network_style("plain8").color]}


def test_changes_by_class_stand_around_zero() -> None:
    chart = class_change_bars(list("abc"), NETWORKS[:1], x_title="class", y_title="change")
    assert [row["change"] for row in rows(chart) if "class" in row] == [0.5, 0.9, 0.8]
    assert [row["line"] for row in rows(chart) if "line" in row] == [0]


def test_bands_hold_lowest_mean_and_highest() -> None:
    band = Band(
        name="ResNet-8", style=network_style("resnet8"), counts=[0, 1, 2], low=[0.9, 0.5, 0.1], mean=[0.9, 0.7, 0.2], high=[0.9, 0.8, 0.3]
    )
    found = [row for row in rows(loss_bands([band], chance=0.1, x_title="n", y_title="accuracy")) if "count" in row]
    assert [(row["count"], row["low"], row["mean"], row["high"]) for row in found] == [
        (0, 0.9, 0.9, 0.9),
        (1, 0.5, 0.7, 0.8),
        (2, 0.1, 0.2, 0.3),
    ]


def test_a_class_that_takes_all_answers_stays_inside_its_axis() -> None:
    risen = [replace(NETWORKS[0], values=[-90.0, 62.0, math.nan])]
    domain = class_change_bars(list("abc"), risen, x_title="class", y_title="change").to_dict()["layer"][0]["encoding"]["y"]["scale"][
        "domain"
    ]
    assert domain == [-100, 75]
