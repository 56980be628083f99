"""Intervals, McNemar's test and calibration against SciPy and against numbers worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from resnet_core.comparison import bootstrap_interval, calibration, mcnemar, wilson_interval


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


def test_expected_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.85, 0.85, 0.55, 0.6, 1.0])
    right = np.array([True, True, False, False, True, True])
    found = calibration(confidence, right, bins=10)
    # (0.5, 0.6]: 2 answers, sure 0.575, right 0.5; (0.8, 0.9]: 2, 0.85, 0.5; (0.9, 1.0]: 2, 0.975, 1
    assert found.ece == pytest.approx((2 * 0.075 + 2 * 0.35 + 2 * 0.025) / 6)
    assert [(row.low, row.count) for row in found.bins if row.count] == [(0.5, 2), (0.8, 2), (0.9, 2)]
    assert calibration(np.ones(4), np.ones(4, dtype=bool)).ece == 0


def test_the_bootstrap_interval_is_that_of_the_normal_distribution_for_many_images() -> None:
    values = np.random.default_rng(1).normal(3, 2, 4000)
    found = bootstrap_interval([*values, np.nan])
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)
