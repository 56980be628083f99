"""Gradients by depth before training: the known numbers loosely, and our hooks against hooks written here exactly."""

import math
from functools import cache
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import load_split, normalize, some_images
from resnet_core.errors import UserError
from resnet_core.inspection import UntrainedGradients, depths_up_to, networks_of_study, noise_like, untrained_gradients
from resnet_core.inspection.untrained import DEPTHS, FAMILIES, SEEDS
from resnet_core.models import block_places, build_model

SPEC, SPLIT = load_split(DataConfig(), "train")


@cache
def measured(model: str, *, seed: int = 0, **settings: object) -> UntrainedGradients:
    return untrained_gradients(ModelConfig(model=model, **settings), SPEC, SPLIT, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "expected"),
    [("plain20", 1.3), ("plain56", 3.9), ("resnet20", 0.7), ("resnet56", 1.3)],  # medians of a measurement with larger batches
)
def test_the_known_numbers(model: str, expected: float) -> None:
    ratios = [one.trend.log_ratio for seed in SEEDS if (one := measured(model, seed=seed)).trend.log_ratio is not None]
    assert median(ratios) == pytest.approx(expected, abs=0.35)


def test_depth_explodes_without_shortcuts_and_not_with_them() -> None:
    plain, residual = measured("plain56"), measured("resnet56")
    assert plain.trend.verdict == "exploding"
    assert residual.trend.verdict == "leaning_up"
    assert plain.weights_log_ratio is not None
    assert plain.weights_log_ratio > 2, "the weights' gradients say the same"


def test_without_batchnorm_it_is_the_other_way_round() -> None:
    """He's initialisation keeps a plain network nearly flat; the shortcuts' sums grow and nothing brings them back."""
    plain, residual = measured("plain56", norm="none"), measured("resnet56", norm="none")
    assert plain.trend.log_ratio is not None
    assert abs(plain.trend.log_ratio) < 1.2
    assert residual.trend.verdict == "exploding"
    assert residual.loss > 100


def norms_by_hand(config: ModelConfig, images: Tensor, labels: Tensor, seed: int) -> list[float]:
    """The gradient at every block's input from autograd.grad, in train mode, with plain forward hooks."""
    model = build_model(config, SPEC, seed=seed).train()
    inputs: list[Tensor] = []
    handles = [place.module.register_forward_pre_hook(lambda module, args: inputs.append(args[0])) for place in block_places(model)]
    loss = nn.functional.cross_entropy(model(images), labels)
    for handle in handles:
        handle.remove()
    return [float(gradient.norm()) for gradient in torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("settings", [{}, {"norm": "none", "init": "dirac"}, {"option": "B", "width": 0.5}, {"version": "v2"}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_norms_are_those_of_hooks_written_here(family: str, settings: dict[str, object]) -> None:
    config = ModelConfig(model=f"{family}14", **settings)  # type: ignore[arg-type]
    found = untrained_gradients(config, SPEC, SPLIT, count=8, seed=3)
    chosen = SPLIT.take(some_images(len(SPLIT), 8, 3))
    expected = norms_by_hand(config, normalize(chosen.images, SPEC), chosen.labels, 3)
    assert (found.family, found.depth, found.seed) == (family, 14, 3)
    assert found.block_norms == pytest.approx(expected, rel=1e-4)
    assert found.trend.log_ratio == pytest.approx(math.log10(expected[0] / expected[-1]), abs=1e-4)


def test_a_study_is_every_network_once() -> None:
    networks = networks_of_study(ModelConfig(width=0.5), depths=(8, 20))
    assert len(networks) == len(set(networks)) == 2 * len(SEEDS) * len(FAMILIES)
    assert {(config.model, seed) for config, seed in networks} == {
        (f"{family}{depth}", seed) for family in FAMILIES for depth in (8, 20) for seed in SEEDS
    }
    assert all(config.width == 0.5 for config, _ in networks)


def test_depths_lead_up_to_the_one_asked_for() -> None:
    assert depths_up_to(8) == (8,)
    assert depths_up_to(26) == (8, 14, 20, 26)
    assert depths_up_to(110)[-1] == 110
    for depth in DEPTHS:
        assert depth % 6 == 2
        assert set(depths_up_to(depth)) <= set(DEPTHS)


def test_other_depths_are_refused() -> None:
    with pytest.raises(UserError, match="6n \\+ 2"):
        measured("plain21")


def test_noise_has_the_images_shape_and_no_structure() -> None:
    noise = noise_like(SPLIT, SPEC, count=64)
    assert noise.images.shape == (64, 1, 28, 28)
    assert torch.equal(noise.labels, SPLIT.labels[:64])
    pixels = noise.images.double().flatten(1)
    pixels -= pixels.mean(1, keepdim=True)
    neighbours = (pixels[:, :-1] * pixels[:, 1:]).sum() / pixels.square().sum()
    assert abs(float(neighbours)) < 0.02
    assert measured("plain8").block_norms != untrained_gradients(ModelConfig(model="plain8"), SPEC, noise).block_norms
