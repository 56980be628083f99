"""Names, twins, places and weights from a seed."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError
from resnet_core.models import (
    MODELS,
    block_places,
    build_model,
    find_block,
    get_entry,
    model_names,
    original_spec,
    part_of,
    place_of,
    twin_config,
    twin_name,
)

TINY = DataSpec(name="test", channels=1, height=28, width=28, classes=tuple("0123456789"), mean=(0.5,), std=(0.25,))


@pytest.mark.parametrize("name", ["resnet19", "resnet21", "plain22", "resnet2", "resnet7", "resnet1208"])
def test_a_depth_that_does_not_exist(name: str) -> None:
    with pytest.raises(UserError, match=r"must be 6n \+ 2 \(8, 14, 20") as caught:
        build_model(ModelConfig(model=name), TINY)
    assert caught.value.code == "depth_not_6n_plus_2"
    assert str(caught.value.values["value"]) in name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("restnet20", "resnet20"),
        ("ResNet-20", "resnet20"),
        ("plane8", "plain8"),
        ("resnet", "resnet"),
        ("zzz", "alexnet"),
        ("wide", "wide_resnet50_2"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        get_entry(name)
    assert caught.value.code == "unknown_name"
    assert f"network {name!r}" in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize("name", ["resnet26", "plain38", "resnet1202"])
def test_any_depth_6n_plus_2_has_an_entry(name: str) -> None:
    entry = get_entry(name)
    assert (entry.name, entry.depth) == (name, int(name[6:] if name.startswith("resnet") else name[5:]))
    assert twin_name(twin_name(name) or "") == name


def test_the_depth_is_the_number_of_layers_with_weights() -> None:
    """6n + 2 counts convolutions (without shortcuts) and the linear layer; so do the ImageNet names."""
    for name in (n for n in model_names() if MODELS[n].family in ("resnet", "plain")):
        model = build_model(ModelConfig(model=name), TINY, seed=None, device="meta")
        layers = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and ".shortcut." not in n]
        assert len(layers) == MODELS[name].depth, name


@pytest.mark.parametrize("name", ["resnet20", "plain20", "resnet50"])
def test_capabilities_are_what_the_network_has(name: str) -> None:
    entry = get_entry(name)
    model = build_model(ModelConfig(model=name), TINY, seed=None, device="meta")
    able = entry.capabilities(ModelConfig(model=name), TINY)
    assert able.has_blocks == bool(block_places(model))
    assert able.has_shortcuts == any(place.module.shortcut is not None for place in block_places(model))
    assert all(model.get_submodule(layer) for layer in able.gradcam_layers)


def test_a_twin_config_changes_the_name_only() -> None:
    config = ModelConfig(model="plain20", width=0.5, option="B")
    assert twin_config(config) == ModelConfig(model="resnet20", width=0.5, option="B")


# -- weights -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("option", ["A", "B", "C"])
@pytest.mark.parametrize("depth", [8, 50])
def test_a_network_and_its_plain_twin_start_from_the_same_weights(depth: int, option: str, version: str) -> None:
    options = {"option": option, "version": version, "width": 0.25}
    ours, twin = (build_model(ModelConfig(model=f"{f}{depth}", **options), TINY, seed=5).state_dict() for f in ("resnet", "plain"))  # type: ignore[arg-type]
    assert set(twin) <= set(ours)
    assert all(torch.equal(tensor, ours[name]) for name, tensor in twin.items())
    extra = {name for name in ours if name not in twin}
    assert all(".shortcut." in name for name in extra)
    assert bool(extra) == (option != "A")


def test_the_seed_decides_and_nothing_else_does() -> None:
    config = ModelConfig(model="resnet8", width=0.5)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_model(config, TINY, seed=3).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before), "building a network draws nothing from the global stream"
    torch.manual_seed(2)
    again, other = (build_model(config, TINY, seed=s).state_dict() for s in (3, 4))
    assert all(torch.equal(first[n], again[n]) for n in first)
    drawn = [n for n, p in build_model(config, TINY).named_parameters() if "conv" in n or "fc" in n]
    assert len(drawn) == 9
    assert not any(torch.equal(first[n], other[n]) for n in drawn)


def test_convolutions_are_he_normal_and_every_layer_has_its_own_numbers() -> None:
    model = build_model(ModelConfig(model="resnet20", width=4), TINY, seed=0)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            deviation = math.sqrt(2 / (module.out_channels * math.prod(module.kernel_size)))  # He et al. 2015, fan out
            tolerance = 5 / math.sqrt(2 * module.weight.numel())
            assert float(module.weight.detach().std()) == pytest.approx(deviation, rel=tolerance), name
            assert abs(float(module.weight.detach().mean())) < 5 * deviation / math.sqrt(module.weight.numel()), name
    twice = [m.weight.detach().flatten()[:64] for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len({tuple(w.div(w.std()).tolist()) for w in twice}) == len(twice)


def test_dirac_convolutions_pass_their_input_on() -> None:
    model = build_model(ModelConfig(model="plain8", init="dirac"), TINY, seed=0)
    x = torch.randn(1, 16, 5, 5)
    first = model.stages[0][0].residual.conv1  # type: ignore[index, union-attr]
    assert torch.allclose(first(x), x, atol=1e-6)


@pytest.mark.parametrize(("version", "norm"), [("v1", "batch"), ("v2", "batch"), ("v1", "none"), ("v1", "group"), ("v2", "none")])
def test_zero_init_residual_starts_every_branch_at_zero(version: str, norm: str) -> None:
    model = build_model(ModelConfig(model="resnet8", version=version, norm=norm, zero_init_residual=True, width=0.5), TINY)
    for place in block_places(model):
        x = torch.randn(2, next(m for m in place.module.residual if isinstance(m, nn.Conv2d)).in_channels, 6, 6)
        assert torch.count_nonzero(place.module.residual(place.module.preact(x))) == 0


def test_zero_init_residual_leaves_plain_networks_a_way() -> None:
    """relu(0) passes neither values nor gradients: a plain block that starts at 0 would keep the network at chance for ever."""
    plain, twin = (build_model(ModelConfig(model=model, zero_init_residual=True, width=0.5), TINY) for model in ("plain8", "resnet8"))
    x, labels = torch.randn(4, TINY.channels, TINY.height, TINY.width), torch.arange(4)
    for model in (plain, twin):
        nn.functional.cross_entropy(model(x), labels).backward()
        assert float(model.stem.conv.weight.grad.norm()) > 0  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("width", [0.125, 0.4, 0.6, 0.9, 1.5])
def test_widths_fit_the_groups_of_resnext(width: float) -> None:
    spec = replace(original_spec("resnext50_32x4d"), height=64, width=64)
    model = build_model(ModelConfig(model="resnext50_32x4d", width=width), spec, seed=None, device="meta")
    assert model(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 1000)
    grouped = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert {m.groups for m in grouped} == {32}


@pytest.mark.parametrize(
    ("width", "channels"), [(1.0, (16, 32, 64)), (0.5, (8, 16, 32)), (0.125, (8, 8, 8)), (2.0, (32, 64, 128)), (0.7, (8, 24, 48))]
)
def test_width_multiplies_the_channels_in_steps_of_eight(width: float, channels: tuple[int, ...]) -> None:
    model = build_model(ModelConfig(model="resnet8", width=width), TINY, seed=None, device="meta")
    assert tuple(place.module.residual.norm2.num_features for place in block_places(model)) == channels  # type: ignore[union-attr]
    assert model(torch.empty(2, 1, 28, 28, device="meta")).shape == (2, 10)


# -- places ------------------------------------------------------------------------------------------------------------------------------


def test_places_stand_in_the_order_of_the_forward_pass() -> None:
    model = build_model(ModelConfig(model="resnet20", width=0.5), TINY).eval()
    seen: list[str] = []
    for place in block_places(model):
        place.module.register_forward_hook(lambda *_, name=place.name: seen.append(name))
    model(torch.randn(1, 1, 28, 28))
    assert seen == [place.name for place in block_places(model)]
    assert [(p.stage, p.block) for p in block_places(model)] == [(s, b) for s in (1, 2, 3) for b in (1, 2, 3)]
    assert place_of("stages.1.0") == (2, 1)


def test_find_block_lists_what_there_is() -> None:
    model = build_model(ModelConfig(model="resnet8", width=0.5), TINY)
    assert find_block(model, "stages.2.0").module is model.stages[2][0]  # type: ignore[index]
    with pytest.raises(UserError, match=r"resnet8 has no block 'stages.9.0'; its blocks are stages.0.0, stages.1.0, stages.2.0"):
        find_block(model, "stages.9.0", model_name="resnet8")
    with pytest.raises(UserError) as caught:
        find_block(nn.Sequential(nn.Linear(1, 1)), "stages.0.0")
    assert caught.value.code == "no_blocks"


def test_every_parameter_belongs_to_a_part() -> None:
    model = build_model(ModelConfig(model="resnet18"), TINY, seed=None, device="meta")
    parts = list(dict.fromkeys(part_of(name) for name, _ in model.named_parameters()))
    assert parts == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]
