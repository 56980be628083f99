"""A factor on F: inside the branch, so that everything that looks at F sees what is added."""

import pytest
import torch
from torch import nn

from resnet_core.attribution import attribute, offered, traits_of
from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import load_spec
from resnet_core.inspection import block_maps, formula_stds, lesioned, residual_statistics
from resnet_core.models import ResNet, block_places, build_model

SPEC = load_spec(DataConfig())


def build(model: str, scale: float, **settings: object) -> ResNet:
    found = build_model(ModelConfig(model=model, width=0.5, residual_scale=scale, **settings), SPEC, seed=0).eval()  # type: ignore[arg-type]
    assert isinstance(found, ResNet)
    for number, module in enumerate(found.modules()):
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=torch.Generator().manual_seed(number % 7))
    return found


@pytest.mark.parametrize("settings", [{}, {"version": "v2", "option": "B"}, {"norm": "none"}], ids=str)
def test_what_is_added_is_the_scaled_f(settings: dict[str, object]) -> None:
    whole, scaled = build("resnet8", 1.0, **settings), build("resnet8", 0.25, **settings)
    scaled.load_state_dict(whole.state_dict())  # no parameter of its own: the same names
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    one, other = (block_maps(model, image, "stages.0.0") for model in (whole, scaled))
    assert (other.residual == one.residual * 0.25).all()
    assert other.sum is not None
    assert (other.sum == other.residual + other.shortcut).all()
    with lesioned(whole, ["stages.0.0"]), lesioned(scaled, ["stages.0.0"]), torch.no_grad():
        assert torch.equal(whole.stages[0](whole.stem(image)), scaled.stages[0](scaled.stem(image)))


def test_std_by_gamma_and_beta_counts_the_factor() -> None:
    whole, scaled = build("resnet8", 1.0), build("resnet8", 0.25)
    scaled.load_state_dict(whole.state_dict())
    one, other = formula_stds(whole), formula_stds(scaled)
    assert other == pytest.approx({name: 0.25 * std for name, std in one.items() if std is not None})


def test_a_plain_twin_adds_nothing_and_is_not_scaled() -> None:
    images = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    plain = build("plain8", 0.25)
    assert len(block_places(plain)[0].module.residual) == len(block_places(build("plain8", 1.0))[0].module.residual)
    assert residual_statistics(plain, images) == residual_statistics(build("plain8", 1.0), images)


def test_without_norms_a_small_factor_keeps_deep_networks_calm() -> None:
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    loud, calm = (residual_statistics(build("resnet32", scale, norm="none"), images) for scale in (1.0, 0.1))
    assert loud[-1].output_norm > 100 * calm[-1].output_norm


def test_a_factor_is_no_obstacle_to_deeplift() -> None:
    model = build("resnet8", 0.5).eval()
    spec = load_spec(DataConfig())
    pixels = torch.randint(0, 256, (1, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert offered(traits_of(model, spec), "resnet8")["deep_lift"] is None
    (found,) = attribute(model, pixels, spec, "deep_lift", target=3)
    assert found.completeness_error is not None
    assert found.completeness_error < 1e-4
