"""Intervals and McNemar's test against SciPy and against numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from resnet_core.statistics import FEWEST, bootstrap_interval, mcnemar, wilson_interval


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (1, 10), (9959, 10_000), (4980, 5000)])
def test_wilson_is_scipy_s(right: int, n: int) -> None:
    found = wilson_interval(right, n)
    expected = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert found.value == right / n
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_says_nothing() -> None:
    assert (wilson_interval(0, 0).low, wilson_interval(0, 0).high) == (0, 1)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (3, 3), (1, 9), (25, 41), (900, 1100), (40, 4)])
def test_mcnemar_is_the_exact_binomial_test_on_the_images_that_one_gets_right(only_a: int, only_b: int) -> None:
    a = np.array([True] * only_a + [False] * only_b + [True] * 50 + [False] * 20)
    b = np.array([False] * only_a + [True] * only_b + [True] * 50 + [False] * 20)
    found = mcnemar(a, b)
    n = only_a + only_b
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p == pytest.approx(stats.binomtest(only_a, n).pvalue if n else 1.0, rel=1e-9)
    assert found.is_real == (found.p < 0.05)


def test_nine_against_one_by_hand() -> None:
    a = np.array([True] * 9 + [False])
    assert mcnemar(a, ~a).p == 2 * (1 + 10) / 2**10


def test_the_bootstrap_interval_is_that_of_the_normal_distribution_for_many_images() -> None:
    values = np.random.default_rng(1).normal(3, 2, 4000)
    found = bootstrap_interval([*values, np.nan])
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)


def test_an_interval_holds_the_true_mean_as_often_as_it_says_or_is_none() -> None:
    generator = np.random.default_rng(2)
    samples = generator.normal(size=(400, FEWEST))
    found = [bootstrap_interval(values, draws=400) for values in samples]
    assert np.mean([one.low < 0 < one.high for one in found]) > 0.9
    fewer = bootstrap_interval(samples[0][:-1])
    assert fewer.value == pytest.approx(samples[0][:-1].mean())
    assert math.isnan(fewer.low)
    assert math.isnan(fewer.high)
