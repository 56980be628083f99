"""A network whose config leaves blocks out is the lesioned network, bit for bit, with fewer parameters and the same names."""

from typing import Any

import pytest
import torch

from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_spec
from resnet_core.errors import UserError
from resnet_core.inspection import lesioned
from resnet_core.models import ResNet, block_places, build_model, count_parameters, removable_blocks, twin_config

SPEC = load_spec(DataConfig())
NETWORKS: list[dict[str, Any]] = [
    {"model": "resnet14"},
    {"model": "plain14"},
    {"model": "resnet14", "option": "B", "version": "v2"},
    {"model": "plain14", "option": "B", "version": "v2"},
    {"model": "resnet50", "width": 0.125, "norm": "group"},
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_it_is_the_lesioned_network_bit_for_bit(network: dict[str, Any]) -> None:
    full = build_model(ModelConfig(**network), SPEC, seed=0).eval()
    assert isinstance(full, ResNet)
    images = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    removable = removable_blocks(full.plan)
    for removed in ((removable[0],), (removable[-1],), removable):
        config = ModelConfig(**network, removed_blocks=removed)
        small = build_model(config, SPEC, seed=5).eval()
        gone = tuple(f"{name}." for name in removed)
        small.load_state_dict({name: tensor for name, tensor in full.state_dict().items() if not name.startswith(gone)})
        with lesioned(full, removed), torch.no_grad():
            assert torch.equal(small(images), full(images))
        assert [place.name for place in block_places(small)] == [p.name for p in block_places(full) if p.name not in removed]
        lost = sum(p.numel() for name, p in full.named_parameters() if name.startswith(gone))
        assert count_parameters(config, SPEC) == count_parameters(ModelConfig(**network), SPEC) - lost
        assert lost > 0


def test_what_stays_starts_from_the_same_weights_and_so_does_the_twin() -> None:
    config = ModelConfig(model="resnet14", removed_blocks=("stages.1.1",))
    twin = twin_config(config)
    assert twin is not None
    assert twin.removed_blocks == ("stages.1.1",)
    full = build_model(ModelConfig(model="resnet14"), SPEC, seed=0).state_dict()
    for one in (config, twin):
        small = build_model(one, SPEC, seed=0).state_dict()
        assert all(torch.equal(tensor, full[name]) for name, tensor in small.items())
        assert set(full) - set(small) == {name for name in full if name.startswith("stages.1.1.")}


def test_the_config_keeps_them_in_order_and_goes_to_json_and_back() -> None:
    config = RunConfig.from_flat({"removed_blocks": "stages.2.1, stages.0.10,stages.0.2, stages.2.1"})
    assert config.model.removed_blocks == ("stages.0.2", "stages.0.10", "stages.2.1")
    assert RunConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("name", ["block1", "stages.1", "stages.1.x", "../stages.0.1"])
def test_what_is_no_name_of_a_block_is_said_at_birth(name: str) -> None:
    with pytest.raises(UserError, match="stages"):
        ModelConfig(removed_blocks=(name,))


@pytest.mark.parametrize(
    ("model", "name"),
    [("resnet14", "stages.1.0"), ("resnet14", "stages.0.7"), ("plain14", "stages.2.0"), ("resnet50", "stages.0.0")],
)
def test_a_block_that_is_needed_or_missing_lists_the_others(model: str, name: str) -> None:
    with pytest.raises(UserError, match=r"can be: .*stages\.2\.1") as error:
        build_model(ModelConfig(model=model, removed_blocks=(name,)), SPEC)
    assert name in str(error.value)


def test_with_projections_everywhere_no_block_can_go() -> None:
    with pytest.raises(UserError, match="can be: -"):
        build_model(ModelConfig(model="resnet14", option="C", removed_blocks=("stages.0.1",)), SPEC)
