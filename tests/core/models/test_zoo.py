"""The wider family against the libraries it comes from: counts, names, answers; and each network on small grey images."""

import importlib.util
import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_core.config import ModelConfig, RunConfig
from resnet_core.data import load_splits
from resnet_core.errors import UserError
from resnet_core.models import (
    DEEPLIFT_OBSTACLES,
    MODELS,
    block_places,
    build_model,
    capabilities_of,
    describe,
    fitting,
    get_entry,
    model_names,
    original_spec,
)
from resnet_core.training import EpochDone, Training
from tests.core.models.conftest import shake, spec

MNIST = spec(1, 28, 10)
RESNETS = ("resnet", "plain")


def by_package(names: list[str]) -> list[Any]:
    """Networks of a package that is not here are skipped, and say why."""
    lacking = {name: MODELS[name].extra for name in names if MODELS[name].extra and not importlib.util.find_spec(str(MODELS[name].extra))}
    skips = {name: [pytest.mark.skip(reason=f"{package} is not installed")] for name, package in lacking.items()}
    return [pytest.param(name, marks=skips.get(name, []), id=name) for name in names]


def for_long(networks: list[Any], *, but: tuple[str, ...]) -> list[Any]:
    """All of these, those that are not named only when asked for."""
    return [pytest.param(*p.values, marks=[*p.marks, *([] if p.values[0] in but else [pytest.mark.long])], id=p.id) for p in networks]


WIDER = by_package([name for name, entry in MODELS.items() if entry.twin is None])
TORCHVISION = [name for name, entry in MODELS.items() if entry.twin is None and entry.extra is None and name != "lenet5"]


def narrow(name: str, **changes: Any) -> ModelConfig:
    """With a quarter of the channels, where the network knows widths."""
    return ModelConfig(model=name, width=0.25 if "width" in get_entry(name).settings else 1.0, **changes)


def theirs(name: str) -> nn.Module:
    with torch.device("meta"):
        options = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return getattr(torchvision.models, name)(**options).eval()  # type: ignore[no-any-return]


# -- on small images -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WIDER)
def test_each_network_takes_small_grey_images_and_says_what_it_can(name: str) -> None:
    """Logits and MACs (against torch's own counter) on 1 x 28 x 28, and layers for Grad-CAM that are maps of the image."""
    config = ModelConfig(model=name)
    able, model = capabilities_of(config, MNIST), build_model(config, MNIST, seed=None, device="meta").eval()
    maps: list[torch.Size] = []
    for layer in able.gradcam_layers:
        model.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: maps.append(output.shape))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.empty(2, 1, 28, 28, device="meta")).shape == (2, 10)
    sides = [shape[2] for shape in maps]
    assert len(maps) == len(able.gradcam_layers)
    assert all(len(shape) == 4 and shape[0] == 2 and shape[2] == shape[3] <= 28 for shape in maps)
    assert sides == sorted(sides, reverse=True)
    assert bool(maps) == (able.family not in ("vit", "deit", "beit", "mocov3"))
    table = describe(config, MNIST)
    assert 2 * table.flops == counter.get_total_flops()
    assert table.unused_parameters == 0
    assert able.has_blocks == bool(block_places(model)) == (able.family in RESNETS)
    assert able.source
    assert able.deeplift_obstacle in ("", *DEEPLIFT_OBSTACLES)
    assert not any(getattr(module, "inplace", False) for module in model.modules())


# The others take seconds each: `make test-long`.
TRAINED = for_long(WIDER, but=("lenet5", "vgg11_bn", "mobilenet_v3_small", "vit_b_16", "swin_t"))


@pytest.mark.timeout(600)  # BEiT has 85 million parameters
@pytest.mark.parametrize("name", TRAINED)
def test_each_network_trains(name: str, digits: str) -> None:
    """Through the trainer: half an epoch's worth of real digits; every parameter moves, and validation runs on the whole network."""
    changes = {"dataset": digits, "train_limit": 32, "batch_size": 16, "epochs": 1, "precision": "float32", "memory_format": "contiguous"}
    config = RunConfig.from_flat(
        {**changes, "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant"}, RunConfig(model=narrow(name))
    )
    splits = load_splits(config.data)
    training = Training(config, splits, device=torch.device("cpu"))
    before = {name: parameter.detach().clone() for name, parameter in training.model.named_parameters()}
    events = list(training.events())
    ends = [event for event in events if isinstance(event, EpochDone)]
    assert len(ends) == 1
    assert math.isfinite(ends[0].train_loss)
    assert math.isfinite(ends[0].valid_loss)
    assert [name for name, parameter in training.model.named_parameters() if torch.equal(parameter, before[name])] == []


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "mobilenet_v3_small", "swin_t"])
def test_the_seed_decides_the_weights(name: str) -> None:
    config = narrow(name)
    torch.manual_seed(1)
    first, again, other = (build_model(config, MNIST, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(tensor, again[key]) for key, tensor in first.items())
    drawn = [key for key, tensor in first.items() if tensor.is_floating_point() and tensor.ndim > 1 and tensor.count_nonzero()]
    assert drawn
    assert not any(torch.equal(first[key], other[key]) for key in drawn)


def deeplift_error(model: nn.Module, images: Tensor, baseline: Tensor) -> float:
    """How far DeepLift's attributions are from adding up, relative to the difference that they explain."""
    from captum.attr import DeepLift

    with torch.no_grad():
        difference = (model(images) - model(baseline))[:, 3]
    with warnings.catch_warnings(action="ignore"):  # about the hooks that it sets
        _, delta = DeepLift(model).attribute(images, baseline, target=3, return_convergence_delta=True)
    return float((delta.abs() / difference.abs()).max())


DEEPLIFTED = [
    ModelConfig(model="lenet5"),
    ModelConfig(model="densenet121", width=0.25),
    ModelConfig(model="vgg11_bn", width=0.25),
    ModelConfig(model="mobilenet_v3_small", width=0.25),
    ModelConfig(model="vit_b_16", width=0.125),
    ModelConfig(model="resnet18", width=0.25),
    ModelConfig(model="resnet18", width=0.25, stem="imagenet"),
    ModelConfig(model="resnet8", version="v2"),
    ModelConfig(model="resnet8", version="v2", stem="imagenet"),
    ModelConfig(model="resnet8", norm="group"),
    ModelConfig(model="plain8", norm="none", option="B"),
]


@pytest.mark.parametrize("config", DEEPLIFTED, ids=lambda c: f"{c.model}-{c.version}-{c.norm}-{c.stem}")
def test_deeplift_is_sound_where_the_table_says_so_and_nowhere_else(config: ModelConfig) -> None:
    """Against Captum itself, in float64, from a baseline of noise (a constant one hides what is wrong with max pooling)."""
    model = build_model(config, MNIST).eval()
    shake(model)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if not parameter.count_nonzero():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    images, baseline = torch.rand(2, 4, 1, 28, 28, generator=generator, dtype=torch.float64)
    error = deeplift_error(model.double(), images, baseline)
    assert (error < 1e-6) == capabilities_of(config, MNIST).deeplift_sound, error


# -- against the libraries -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_original_has_torchvision_s_tensors(name: str) -> None:
    """With stem=imagenet, three channels and 1000 classes: as many parameters of the same shapes, under the same names unless it is ours."""
    ours = build_model(ModelConfig(model=name), original_spec(name), seed=None, device="meta").state_dict()
    other = theirs(name).state_dict()
    if get_entry(name).family in RESNETS:
        assert [tensor.shape for tensor in ours.values()] == [tensor.shape for tensor in other.values()]
    else:
        assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in other.items()}


@pytest.mark.long
@pytest.mark.parametrize("name", by_package(list(MODELS)))
def test_the_original_is_counted_as_torch_counts_it(name: str) -> None:
    """Multiply-accumulates on the data it was published for, ResNets and plain twins among them."""
    data = original_spec(name)
    model = build_model(ModelConfig(model=name), data, seed=None, device="meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, data.channels, data.height, data.width, device="meta"))
    table = describe(ModelConfig(model=name), data)
    assert table.flops == counter.get_total_flops()
    assert table.parameters == sum(p.numel() for p in model.parameters()) == sum(step.parameters for step in table.layers)


TIMM_ORIGINALS = {"deit_tiny": "deit_tiny_patch16_224", "beit_base": "beit_base_patch16_224", "inception_resnet_v2": "", "seresnet50": ""}


@pytest.mark.parametrize("name", by_package(list(TIMM_ORIGINALS)))
def test_the_original_has_timm_s_tensors(name: str) -> None:
    import timm

    with torch.device("meta"):
        other = timm.create_model(TIMM_ORIGINALS[name] or name).state_dict()
    ours = build_model(ModelConfig(model=name), original_spec(name), seed=None, device="meta").state_dict()
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in other.items()}


@pytest.mark.parametrize("name", for_long(by_package(TORCHVISION), but=("googlenet", "densenet121", "mobilenet_v3_small")))
def test_with_the_same_weights_the_original_answers_as_torchvision_s(name: str) -> None:
    """Logits bit for bit in eval mode, whatever was rebuilt around them (ReLUs as modules, heads, auxiliary classifiers left out)."""
    from resnet_core.models.foreign import fit_weights

    side = 224 if name in ("vit_b_16", "swin_t", "alexnet") else 96
    ours = build_model(ModelConfig(model=name, stem="imagenet"), spec(3, side, 1000), seed=1).eval()
    other = theirs(name).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for key, tensor in other.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / max(tensor[:1].numel(), 1) ** 0.5 if tensor.ndim > 1 else 1.0)
        elif "num_batches" not in key:  # positions that a transformer computes once
            tensor.copy_(ours.state_dict()[key])
    found = fit_weights(ours, other.state_dict(), source="torchvision", name=name)
    assert found.fresh == found.averaged == ()
    ours.load_state_dict(found.weights)
    images = torch.randn(1, 3, side, side, generator=generator)
    with torch.no_grad():
        answer = ours(images)
        assert torch.isfinite(answer).all()
        assert torch.equal(answer, other(images))


def test_lenet_is_as_large_as_counted_by_hand() -> None:
    layers = 6 * (25 + 1) + 16 * (6 * 25 + 1) + 120 * (400 + 1) + 84 * (120 + 1) + 10 * (84 + 1)
    assert (
        sum(p.numel() for p in build_model(ModelConfig(model="lenet5"), MNIST, seed=None, device="meta").parameters()) == layers == 61_706
    )


# -- bad input -------------------------------------------------------------------------------------------------------------------------------


def sized() -> Iterator[Any]:
    """Every network with a smallest image, for small images and as it was published."""
    for name in model_names():
        for stem in ("small", "imagenet") if "stem" in get_entry(name).settings else ("auto",):
            able = capabilities_of(ModelConfig(model=name, stem=stem), MNIST)
            if able.smallest > 1 and able.multiple_of == 1:
                yield pytest.param(name, stem, able.smallest, id=f"{name}-{stem}")


@pytest.mark.parametrize(("name", "stem", "smallest"), for_long(list(sized()), but=("lenet5", "alexnet", "vgg11", "googlenet")))
def test_the_smallest_image_is_the_smallest(name: str, stem: str, smallest: int) -> None:
    """One pixel less and the network cannot run; building it says so and names the smallest."""
    config, least = ModelConfig(model=name, stem=stem), spec(1, smallest, 10)
    build_model(config, least, seed=None, device="meta").eval()(torch.empty(2, 1, smallest, smallest, device="meta"))
    less = spec(1, smallest - 1, 10)
    with pytest.raises(UserError, match=f"{name} needs images of at least {smallest} x {smallest} px, got {smallest - 1} px"):
        build_model(config, less)
    with warnings.catch_warnings(action="ignore"), pytest.raises((RuntimeError, ValueError, ZeroDivisionError)), torch.device("meta"):
        get_entry(name).build(config, less).eval()(torch.empty(2, 1, smallest - 1, smallest - 1))


@pytest.mark.parametrize(
    ("changes", "size", "code", "remedy"),
    [
        ({"model": "vit_b_16", "patch": 5}, 28, "not_a_multiple", "patch=4 or image_size=30"),
        ({"model": "vit_b_16"}, 30, "not_a_multiple", "patch=5 or image_size=32"),
        ({"model": "vit_b_16", "stem": "imagenet"}, 28, "not_a_multiple", "patch=14 or image_size=32"),
        ({"model": "swin_t"}, 31, "not_a_multiple", "patch=1 or image_size=32"),
        ({"model": "vgg11", "option": "B"}, 28, "setting_not_for", "leave it at auto"),
        ({"model": "resnet20", "patch": 4}, 28, "setting_not_for", "leave it at None"),
        ({"model": "vgg12"}, 28, "unknown_name", "vgg11"),
        ({"model": "efficientnet_b1"}, 28, "unknown_name", "efficientnet_b0"),
        ({"model": "vit"}, 28, "unknown_name", "vit_b_16"),
    ],
)
def test_what_a_network_cannot_do_is_said_with_a_remedy(changes: dict[str, Any], size: int, code: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        build_model(ModelConfig(**changes), spec(1, size, 10))
    assert caught.value.code == code
    assert remedy in str(caught.value)


def test_a_transformer_wants_square_images() -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match="vit_b_16 takes square images only, these have 28 x 32 px"):
        build_model(ModelConfig(model="vit_b_16"), replace(MNIST, width=32))
    build_model(ModelConfig(model="alexnet"), replace(MNIST, width=32), seed=None, device="meta")(torch.empty(1, 1, 28, 32, device="meta"))


def test_settings_that_mean_nothing_to_a_network_go_back_to_their_defaults() -> None:
    asked = ModelConfig(model="vgg11", option="B", width=0.5, version="v2", patch=4)
    assert fitting(asked) == ModelConfig(model="vgg11", width=0.5)
    assert fitting(ModelConfig(model="resnet20", option="B", patch=4)) == ModelConfig(model="resnet20", option="B")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match="needs the package timm; install it with 'pip install timm'"):
        build_model(ModelConfig(model="deit_tiny"), MNIST)
