"""Curves that grow: a specification that stays the same object while the numbers change, and tables that hold exactly these numbers."""

import altair as alt
import numpy as np
import pytest

from dashboard.charts.curves import MOST_POINTS, Curve, LiveChart, epoch_curves, line_curves, loss_curves, smoothed, stage_curves
from dashboard.charts.theme import network_styles

STYLES = network_styles(["resnet20", "plain20"])
TITLES = {"x_title": "step", "y_title": "loss"}


def curves(length: int) -> list[Curve]:
    x = list(range(1, length + 1))
    return [
        Curve(name=name, style=style, x=x, y=[scale / step for step in x])
        for name, style, scale in (("a", STYLES[0], 1), ("b", STYLES[1], 2))
    ]


def stages(length: int) -> list[tuple[str, list[float], list[float]]]:
    return [("stem", [1.0 * step for step in range(length)], [0.0, *[0.5] * (length - 1)])]


MADE = {
    "loss": lambda length: loss_curves(curves(length), x_end=50, **TITLES),
    "epochs": lambda length: epoch_curves(curves(length), curves(length), name="accuracy", percent=True, **TITLES),
    "rate": lambda length: line_curves(curves(length), name="rate", **TITLES),
    "stages": lambda length: stage_curves(stages(length), **TITLES),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_specification_is_vega_lite_and_made_once(kind: str) -> None:
    short, long = MADE[kind](3), MADE[kind](9)
    assert short.spec is long.spec, "or the browser would draw the chart anew and forget its zoom"
    alt.LayerChart.from_dict({**short.spec}, validate=True)
    assert asked_for(short.spec) == set(short.tables)
    for name, table in short.tables.items():
        assert len(table) < len(long.tables[name])


def asked_for(spec: object) -> set[str]:
    """The names of all data in a specification."""
    if isinstance(spec, list):
        return set().union(*map(asked_for, spec))
    if not isinstance(spec, dict):
        return set()
    own = {spec["data"]["name"]} if "data" in spec else set()
    return own.union(*(asked_for(value) for key, value in spec.items() if key != "data"))


def test_other_looks_are_other_specifications() -> None:
    plain = loss_curves(curves(3), **TITLES).spec
    assert loss_curves(curves(3), log=True, **TITLES).spec != plain
    assert loss_curves(curves(3), x_title="Schritt", y_title="loss").spec != plain
    assert loss_curves(curves(3)[:1], **TITLES).spec != plain
    assert loss_curves(curves(3), height=99, **TITLES).spec != plain


def test_tables_hold_the_raw_curve_and_its_mean() -> None:
    given = curves(40)
    chart = loss_curves(given, **TITLES)
    assert set(chart.tables) == {"loss_raw", "loss_mean"}
    for curve in given:
        raw, mean = (table[table["curve"] == curve.name] for table in (chart.tables["loss_raw"], chart.tables["loss_mean"]))
        np.testing.assert_array_equal(raw["x"], curve.x)
        np.testing.assert_array_equal(raw["y"], curve.y)
        np.testing.assert_array_equal(mean["y"], smoothed(curve.x, curve.y))


def test_what_has_no_logarithm_is_left_out() -> None:
    (table,) = stage_curves(stages(5), **TITLES).tables.values()
    assert table["x"].tolist() == [1, 2, 3, 4]


def test_a_long_curve_keeps_its_spikes() -> None:
    x = np.arange(10.0 * MOST_POINTS)
    y = np.zeros(len(x))
    y[[1234, 7777]] = 5, -5
    (table,) = line_curves([Curve(name="a", style=STYLES[0], x=x.tolist(), y=y.tolist())], name="rate", **TITLES).tables.values()
    assert len(table) <= MOST_POINTS
    spikes = table[table["y"] != 0]
    assert dict(zip(spikes["x"], spikes["y"], strict=True)) == {1234: 5, 7777: -5}


def test_before_the_first_point_there_is_an_empty_chart() -> None:
    nothing = loss_curves([], **TITLES)
    assert isinstance(nothing, LiveChart)
    assert all(table.empty and list(table) == ["curve", "x", "y"] for table in nothing.tables.values())
