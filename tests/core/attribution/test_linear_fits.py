"""The fits inside LIME and KernelShap against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LinearRegression

from resnet_core.attribution.linear_fits import lasso, least_squares


@pytest.fixture(params=[0, 1, 2])
def samples(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sets of regions, one of them never in and two always together, what a network says of them, and how much they count."""
    generator = np.random.default_rng(request.param)
    features = generator.integers(0, 2, (60, 8)).astype(float)
    features[:, 3] = 0
    features[:, 5] = features[:, 4] if request.param == 2 else features[:, 5]
    answers = features @ generator.normal(size=8) + 0.3 * generator.normal(size=60)
    return features, answers, np.where(generator.random(60) < 0.1, 1e6 if request.param == 1 else 2.0, generator.random(60) + 0.1)


def test_least_squares(samples: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    features, answers, weights = samples
    expected = LinearRegression().fit(features, answers, sample_weight=weights).coef_
    np.testing.assert_allclose(least_squares(features, answers, weights), expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 10.0])
def test_lasso(samples: tuple[np.ndarray, np.ndarray, np.ndarray], alpha: float) -> None:
    features, answers, weights = samples
    model = Lasso(alpha=alpha, tol=1e-10, max_iter=100_000).fit(features, answers, sample_weight=weights)
    found = lasso(features, answers, weights, alpha)
    if len(np.unique(features, axis=1).T) == features.shape[1]:
        np.testing.assert_allclose(found, model.coef_, atol=1e-4)
    np.testing.assert_allclose(
        features @ found - (features @ found).mean(), features @ model.coef_ - (features @ model.coef_).mean(), atol=1e-3
    )
    assert (alpha < 10) == bool(found.any())
