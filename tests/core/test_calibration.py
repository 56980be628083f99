"""Temperature scaling against an optimiser, and the calibration error against a count by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from resnet_core.calibration import HIGHEST, LOWEST, calibration_error, fit_temperature, judge_confidence, probabilities, reliability


def sample(sharpness: float, n: int = 4000, classes: int = 10, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `sharpness` times those under which the labels were drawn."""
    generator = torch.Generator().manual_seed(seed)
    honest = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    return honest * sharpness, labels


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.5])
def test_the_temperature_is_the_one_that_an_optimiser_finds(sharpness: float) -> None:
    logits, labels = sample(sharpness)
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([inverse], lr=0.1, max_iter=200, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(logits * inverse, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(1 / float(inverse.detach()), rel=1e-4)
    assert found == pytest.approx(sharpness, rel=0.05)  # which is the truth, as far as 4,000 images tell it


def test_its_bounds_and_when_there_is_none() -> None:
    right = np.eye(10)[np.arange(200) % 10] * 2
    assert fit_temperature(right, np.arange(200) % 10) == pytest.approx(LOWEST)
    assert fit_temperature(right, (np.arange(200) + 1) % 10) == pytest.approx(HIGHEST)
    assert fit_temperature(right[:99], np.arange(99) % 10) is None
    assert probabilities(np.array([[1000.0, 0.0]]), None)[0, 0] == 1
    assert probabilities([0.0, np.log(4.0)], 2.0) == pytest.approx([1 / 3, 2 / 3])


def test_the_calibration_error_by_hand() -> None:
    confidences = np.array([[0.9, 0.1], [0.9, 0.1], [0.65, 0.35], [0.35, 0.65]])
    labels = [0, 1, 0, 0]  # in the bin of 0.9: half right; in that of 0.65: half right
    assert calibration_error(confidences, labels) == pytest.approx((2 * 0.4 + 2 * 0.15) / 4)


def test_reliability_by_hand() -> None:
    confidence = np.array([0.95, 0.85, 0.85, 0.55, 0.6, 1.0])
    right = np.array([True, True, False, False, True, True])
    found = reliability(confidence, right, bins=10)
    # (0.5, 0.6]: 2 answers, sure 0.575, right 0.5; (0.8, 0.9]: 2, 0.85, 0.5; (0.9, 1.0]: 2, 0.975, 1
    assert found.error == pytest.approx((2 * 0.075 + 2 * 0.35 + 2 * 0.025) / 6)
    assert [(row.low, row.count) for row in found.bins if row.count] == [(0.5, 2), (0.8, 2), (0.9, 2)]
    assert reliability(np.ones(4), np.ones(4, dtype=bool)).error == 0


def test_a_network_that_is_sure_of_nothing_has_no_calibration(recwarn: pytest.WarningsRecorder) -> None:
    found = reliability(np.array([0.5, math.nan]), np.array([True, False]))
    assert math.isnan(found.error)
    assert found.bins == ()
    assert not recwarn.list


def test_a_temperature_mends_a_network_that_is_too_sure() -> None:
    logits, labels = sample(3.0, seed=1)
    unseen, truth = sample(3.0, seed=2)
    judged = judge_confidence(unseen, truth, fit_temperature(logits, labels))
    assert judged.loss == pytest.approx(float(functional.cross_entropy(unseen, truth)))
    assert judged.error > 0.1
    assert judged.calibrated_error < 0.02
    assert judged.calibrated_loss < judged.loss
