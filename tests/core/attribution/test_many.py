"""One method over many images: rows, intervals, and whether two networks look at different places."""

import csv
import io
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from resnet_core.attribution import (
    FIGURES,
    INFLUENCE_VERDICTS,
    Cohort,
    ImageRow,
    QualitySettings,
    attribute,
    figure_gaps,
    influence,
    over_images,
    to_csv,
)
from tests.core.inspection.conftest import SPEC

QUICK = QualitySettings(squares=4, neighbours=2, points=4, random_orders=1)


def test_many_are_each_alone(build: Any, pixels: Tensor) -> None:
    """Rows and maps are those of the single images; means and intervals those of the rows; B minus A pair by pair."""
    model, targets = build(), [0, 1, 2, 3, 0, 1, 2, 3]
    heard: list[tuple[int, int]] = []
    found = over_images(
        model, pixels, SPEC, "deep_lift", targets=targets, indices=range(10, 18), quality=QUICK, progress=lambda *now: heard.append(now)
    )
    assert [row.index for row in found.rows] == list(range(10, 18))
    for number in (0, 5):
        (alone,) = attribute(model, pixels[number : number + 1], SPEC, "deep_lift", target=targets[number])
        np.testing.assert_allclose(found.maps[number], alone.map, atol=1e-5)
        assert found.rows[number].probability == pytest.approx(alone.probability, abs=1e-6)
    assert found.mean_map == pytest.approx(found.maps.mean(0))
    assert set(found.figures) == set(FIGURES)
    assert found.figures["sensitivity"].value == pytest.approx(np.mean([row.sensitivity or 0 for row in found.rows]))
    assert heard[-1] == (8, 8)
    other = over_images(build(seed=1), pixels, SPEC, "deep_lift", targets=targets)
    assert set(other.figures) == {"probability", "total", "completeness_error"}
    gaps = figure_gaps(found, other)
    assert gaps["total"].value == pytest.approx(np.mean([b.total - a.total for a, b in zip(found.rows, other.rows, strict=True)]))
    rows = list(csv.DictReader(io.StringIO(to_csv({"A": found, "B": other}))))
    assert [(row["network"], row["index"]) for row in rows[:9:8]] == [("A", "10"), ("B", "0")]
    assert float(rows[3]["unexplained"]) == found.rows[3].unexplained
    assert rows[8]["unexplained"] == ""


def test_it_stops_within_an_image(build: Any, pixels: Tensor) -> None:
    def stop(done: int, of: int) -> None:
        assert done == 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        over_images(build(), pixels, SPEC, "saliency", targets=[0] * 8, progress=stop)


def cohort(maps: np.ndarray) -> Cohort:
    rows = tuple(ImageRow(index=n, target=0, probability=1.0, total=0.0, completeness_error=None) for n in range(len(maps)))
    return Cohort(method="saliency", rows=rows, maps=maps.astype(np.float32), figures={})


def test_networks_differ_when_they_differ_more_than_seeds_do() -> None:
    generator = np.random.default_rng(0)
    own, noise = generator.normal(size=(30, 1, 10, 10)), generator.normal(size=(3, 30, 1, 10, 10))
    a, second, alike, unlike = cohort(own), cohort(own + 0.3 * noise[0]), cohort(own + 0.3 * noise[1]), cohort(own + 3 * noise[2])
    changed = influence(a, unlike, second)
    assert changed.verdict == "changes"
    assert changed.seeds is not None
    assert changed.rank_gap is not None
    assert changed.seeds.rank.value > 0.9 > 0.5 > changed.networks.rank.value
    assert changed.rank_gap.value == pytest.approx(changed.seeds.rank.value - changed.networks.rank.value)
    assert influence(a, alike, second).verdict == "not_shown"
    few = influence(cohort(own[:19]), cohort((own + 3 * noise[2])[:19]), cohort((own + 0.3 * noise[0])[:19]))
    assert few.verdict == "few", "the same maps of one image less than FEWEST"
    alone = influence(a, unlike)
    assert (alone.verdict, alone.seeds, alone.networks) == ("no_second_seed", None, changed.networks)
    blank = cohort(np.zeros_like(own))
    assert influence(blank, blank, blank).verdict == "no_maps"
    assert {"changes", "not_shown", "unclear", "few", "no_second_seed", "no_maps"} == set(INFLUENCE_VERDICTS)
    turned = influence(cohort(np.sign(own)), cohort(np.sign(own) * np.abs(own) ** 3), cohort(np.sign(own)))
    assert turned.verdict in ("changes", "unclear")
