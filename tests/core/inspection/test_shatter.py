"""Autocorrelations against their formula by hand, the toy against measured values, the line against autograd one image at a time."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_core.errors import UserError
from resnet_core.inspection import autocorrelation, line_gradients, noise_autocorrelation, toy_gradients
from resnet_core.inspection.shatter import POINTS, WIDTH, _toy_network, noise

LAGS = (1, 2, 5, 10, 15)
# Balduzzi et al. 2017's experiment with 20 seeds, measured elsewhere; ours has its own weights and fewer seeds.
MEASURED = {
    ("plain", 4): (0.89, 0.78, 0.52, 0.22, 0.02),
    ("plain", 10): (0.44, 0.17, -0.10, 0.0, 0.0),
    ("plain", 24): (-0.01, 0.0, 0.0, 0.0, 0.0),
    ("resnet", 50): (0.70, 0.49, 0.14, 0.01, 0.0),
}
TOLERANCE = (0.08, 0.11, 0.13, 0.15, 0.15)


def test_autocorrelation_by_hand() -> None:
    series = np.array([1.0, 2.0, 4.0, 1.0])  # mean 2: -1, 0, 2, -1
    assert autocorrelation(series, (1, 2, 3)) == pytest.approx((-2 / 6, -2 / 6, 1 / 6))


def test_vectors_are_correlated_as_wholes() -> None:
    series = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, -2.0]])  # mean 0
    assert autocorrelation(series, (1, 2)) == pytest.approx((-4 / 10, -1 / 10))
    alone = np.random.default_rng(0).standard_normal(40)
    beside = np.stack([alone, np.full(40, 3.0)], axis=1)
    assert autocorrelation(beside, LAGS) == pytest.approx(autocorrelation(alone, LAGS))


def test_it_knows_neither_scale_nor_offset() -> None:
    series = np.random.default_rng(1).standard_normal((50, 3))
    assert autocorrelation(7 * series + 100, LAGS) == pytest.approx(autocorrelation(series, LAGS))


def test_what_does_not_vary_has_none() -> None:
    assert autocorrelation(np.full((30, 2), 0.1), LAGS) == (0, 0, 0, 0, 0)
    with pytest.raises(UserError, match="points must be at least 16, got 15"):
        autocorrelation(np.arange(15.0), LAGS)


def test_the_noises_beside_it() -> None:
    assert noise_autocorrelation("white", lags=LAGS) == pytest.approx([0] * 5, abs=0.02)
    assert noise_autocorrelation("brown", lags=LAGS) == pytest.approx([0.97, 0.94, 0.86, 0.74, 0.63], abs=0.02)
    steps = np.diff(noise("brown", 100, 5), prepend=0)
    assert steps == pytest.approx(noise("white", 100, 5)), "brown noise is the sum of white"
    with pytest.raises(UserError, match="white, brown"):
        noise("pink", 10, 0)


@pytest.mark.parametrize(("kind", "depth"), MEASURED)
def test_the_toy_shatters_as_measured(kind: str, depth: int) -> None:
    found = toy_gradients(kind, depth, seeds=8, lags=LAGS)
    for value, expected, tolerance in zip(found.autocorrelation, MEASURED[kind, depth], TOLERANCE, strict=True):
        assert value == pytest.approx(expected, abs=tolerance)


def test_deeper_shatters_more_and_shortcuts_hold_it_back() -> None:
    by_depth = [toy_gradients("plain", depth, seeds=4, lags=(1,)).autocorrelation[0] for depth in (2, 6, 12, 24)]
    assert by_depth == sorted(by_depth, reverse=True)
    assert toy_gradients("resnet", 24, seeds=4, lags=(1,)).autocorrelation[0] > by_depth[-1] + 0.5


def test_the_toy_s_numbers_are_those_of_its_gradients() -> None:
    one, two = toy_gradients("plain", 3, seeds=1), toy_gradients("plain", 3, seeds=2)
    assert one.autocorrelation == autocorrelation(one.gradient)
    assert one.spread == (0,) * 20
    assert one.norm == pytest.approx(math.sqrt(np.square(one.gradient).mean()))
    assert np.array_equal(one.gradient, two.gradient)
    second = 2 * np.array(two.autocorrelation) - one.autocorrelation
    assert two.spread == pytest.approx(np.abs(second - one.autocorrelation) / 2, abs=1e-9)
    assert (one.x[0], one.x[-1], len(one.x)) == (-2, 2, POINTS)


@pytest.mark.parametrize("kind", ["plain", "resnet"])
def test_the_toy_written_out(kind: str) -> None:
    """The same weights in modules: BatchNorm with the statistics that the points gave it, then used as in eval."""
    from resnet_core.inspection.shatter import _weights

    layers = [nn.BatchNorm1d(WIDTH, momentum=1.0, affine=False) for _ in range(4)]
    weights = [_weights(7, name, rows, WIDTH, gain=2) for name, rows in (("first", 1), *((f"layer{i}", WIDTH) for i in range(3)))]

    def network(x: Tensor) -> Tensor:
        hidden = layers[0](x @ weights[0]).relu()
        for layer, weight in zip(layers[1:], weights[1:], strict=True):
            hidden = layer(hidden @ weight).relu() if kind == "plain" else hidden + layer(hidden).relu() @ weight
        return (hidden @ _weights(7, "last", WIDTH, 1, gain=1))[:, 0]

    x = torch.linspace(-2, 2, POINTS)[:, None]
    expected = network(x)
    found = x.clone().requires_grad_()
    output = _toy_network(kind, 3, 7, found)
    assert torch.allclose(output, expected, rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(output.sum(), found)
    for layer in layers:
        layer.eval()
        layer.running_var *= (POINTS - 1) / POINTS  # running ones are unbiased
    single = x[100:101].clone().requires_grad_()
    (alone,) = torch.autograd.grad(network(single).sum(), single)
    assert float(alone) == pytest.approx(float(gradient[100]), rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("dense", 3), "kind must be one of plain, resnet"), (("plain", 0), "depth must be between 1 and 50"), (("plain", 51), "got 51")],
)
def test_what_the_toy_cannot_be(arguments: tuple[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        toy_gradients(*arguments)
    with pytest.raises(UserError, match="seeds must be between"):
        toy_gradients("plain", 3, seeds=0)


@pytest.mark.parametrize("name", ["resnet8", "plain8"])
def test_the_line_is_autograd_one_image_at_a_time(build: Any, images: Tensor, name: str) -> None:
    model = build(name)
    found = line_gradients(model, images[:1], images[1:2], 2, points=24, lags=LAGS, batch_size=7)
    gradients = []
    for position, probability in zip(np.linspace(0, 1, 24), found.probability, strict=True):
        x = ((1 - position) * images[0] + position * images[1])[None].float().requires_grad_()
        logits = model(x)
        gradients.append(torch.autograd.grad(logits[0, 2], x)[0].flatten())
        assert probability == pytest.approx(float(logits.detach().softmax(1)[0, 2]), abs=1e-5)
    expected = torch.stack(gradients).double()
    assert found.norms == pytest.approx(expected.norm(dim=1).numpy(), rel=1e-4)
    assert found.slope == pytest.approx((expected @ (images[1] - images[0]).flatten().double()).numpy(), rel=1e-3, abs=1e-4)
    assert found.autocorrelation == pytest.approx(autocorrelation(expected.numpy(), LAGS), abs=1e-4)
    assert found.step == pytest.approx(float((images[1] - images[0]).norm()) / 23, rel=1e-6)
    assert found.target == 2


def test_a_linear_network_has_one_gradient_everywhere() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    found = line_gradients(model, torch.zeros(1, 1, 3, 3), torch.ones(1, 1, 3, 3), 1)
    assert found.norms == pytest.approx(float(model[1].weight[1].detach().norm()))
    assert found.slope == pytest.approx(float(model[1].weight[1].detach().sum()), abs=1e-6)
    assert found.autocorrelation == (0,) * 20


def test_the_network_on_the_line_is_left_as_found(build: Any, images: Tensor, witness: Any) -> None:
    model = build()
    witness(model)
    with torch.no_grad():
        line_gradients(model, images[:1], images[1:2], 0, points=24)
    with pytest.raises(UserError, match="points must be at least 21, got 20"):
        line_gradients(model, images[:1], images[1:2], 0, points=20)
