"""Parameters and multiply-accumulates against the papers, torchvision and torch's own counter."""

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models import MODELS, build_model, describe
from tests.core.models.conftest import spec

CIFAR, MNIST, IMAGENET = spec(3, 32, 10), spec(1, 28, 10), spec(3, 224, 1000)
CIFAR_COUNTS = {8: 75_290, 20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
IMAGENET_COUNTS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


def count(name: str, data: DataSpec, **changes: object) -> int:
    model = build_model(ModelConfig(model=name, **changes), data, seed=None, device="meta")  # type: ignore[arg-type]
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("depth", "parameters"), CIFAR_COUNTS.items())
@pytest.mark.parametrize("family", ["resnet", "plain"])
def test_networks_for_small_images_have_the_published_size(family: str, depth: int, parameters: int) -> None:
    """With option A a ResNet and its plain twin are equally large; one input channel instead of three saves 2 x 9 x 16 weights."""
    assert count(f"{family}{depth}", CIFAR) == parameters
    assert count(f"{family}{depth}", MNIST) == parameters - 288


def test_the_paper_s_table_in_millions() -> None:
    """He et al. 2015, table 6."""
    millions = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}
    assert {depth: round(count(f"resnet{depth}", CIFAR) / 1e6, 1 if depth == 110 else 2) for depth in millions} == millions


@pytest.mark.parametrize(("depth", "parameters"), IMAGENET_COUNTS.items())
def test_imagenet_networks_are_as_large_as_torchvision_s(depth: int, parameters: int) -> None:
    assert count(f"resnet{depth}", IMAGENET) == parameters


@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_projections_are_what_options_add_to_the_plain_network(option: str) -> None:
    """Option B projects where the shape changes (16 -> 32, 32 -> 64), option C in all nine blocks; each with its BatchNorm."""
    changing = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    staying = 3 * (16 * 16 + 2 * 16) + 2 * (32 * 32 + 2 * 32) + 2 * (64 * 64 + 2 * 64)
    extra = {"A": 0, "B": changing, "C": changing + staying}[option]
    assert count("resnet20", CIFAR, option=option) - count("plain20", CIFAR, option=option) == extra


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.twin is not None])
def test_twins_differ_by_their_projections_only(name: str) -> None:
    other_name = MODELS[name].twin
    assert other_name is not None
    assert MODELS[other_name].twin == name
    ours, other = (dict(build_model(ModelConfig(model=n), CIFAR, seed=None, device="meta").named_parameters()) for n in (name, other_name))
    shapes = {key: value.shape for key, value in ours.items() if ".shortcut." not in key}
    assert shapes == {key: value.shape for key, value in other.items() if ".shortcut." not in key}


VARIANTS = [
    ModelConfig(model="resnet20"),
    ModelConfig(model="plain20", width=0.5),
    ModelConfig(model="resnet8", option="C", version="v2"),
    ModelConfig(model="resnet8", norm="none", stem="imagenet"),
    ModelConfig(model="resnet18"),
    ModelConfig(model="resnet50", stride_in_1x1=True),
    ModelConfig(model="plain50", version="v2"),
]


@pytest.mark.parametrize("data", [MNIST, CIFAR, IMAGENET], ids=["28", "32", "224"])
@pytest.mark.parametrize("config", VARIANTS, ids=lambda c: f"{c.model}-{c.version}-{c.option}-{c.norm}")
def test_describe_counts_as_torch_does(config: ModelConfig, data: DataSpec) -> None:
    table = describe(config, data)
    model = build_model(config, data, seed=None, device="meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        logits = model(torch.empty(1, data.channels, data.height, data.width, device="meta"))
    assert table.flops == 2 * table.macs == counter.get_total_flops()
    assert table.parameters == sum(p.numel() for p in model.parameters()) == sum(row.parameters for row in table.layers)
    assert table.layers[-1].output_shape == tuple(logits.shape[1:]) == (len(data.classes),)
    holders = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    assert sorted(row.name for row in table.layers if row.parameters) == sorted(holders)


def test_describe_counts_resnet_18_as_published() -> None:
    """1.8 x 10^9 multiply-accumulates (He et al. 2015, table 1), 4.1 x 10^9 for torchvision's ResNet-50 (the paper's has 3.8)."""
    assert describe(ModelConfig(model="resnet18"), IMAGENET).macs == pytest.approx(1.8e9, rel=0.02)
    assert describe(ModelConfig(model="plain34"), IMAGENET).macs == pytest.approx(3.6e9, rel=0.02)  # figure 3
    assert describe(ModelConfig(model="resnet50"), IMAGENET).macs == pytest.approx(4.1e9, rel=0.01)
    assert describe(ModelConfig(model="resnet50", stride_in_1x1=True), IMAGENET).macs == pytest.approx(3.8e9, rel=0.02)


@pytest.mark.parametrize("depth", [18, 50])
def test_on_small_images_the_stem_keeps_the_resolution(depth: int) -> None:
    rows = {row.name: row for row in describe(ModelConfig(model=f"resnet{depth}"), CIFAR).layers}
    assert rows["stem.conv"].output_shape == (64, 32, 32)
    assert "stem.pool" not in rows
    rows = {row.name: row for row in describe(ModelConfig(model=f"resnet{depth}"), IMAGENET).layers}
    assert rows["stem.conv"].output_shape == (64, 112, 112)
    assert rows["stem.pool"].output_shape == (64, 56, 56)


def test_our_table_of_imagenet_counts_is_torchvision_s() -> None:
    with torch.device("meta"):
        for depth, parameters in IMAGENET_COUNTS.items():
            theirs = getattr(torchvision.models, f"resnet{depth}")()
            assert sum(p.numel() for p in theirs.parameters()) == parameters
