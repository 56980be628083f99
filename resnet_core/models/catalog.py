"""All networks by name, with what each of them can be asked for. Pages and commands read this table instead of guessing."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError, nearest
from resnet_core.models.initialization import initialize
from resnet_core.models.resnet import ResNet, ResNetPlan

SMALL_IMAGE = 64  # sides up to this keep their resolution in an automatic stem
CIFAR_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
IMAGENET_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What may be asked of a network. `deeplift_sound`: every ReLU is a module used once and no ReLU runs straight into a pooling."""

    has_blocks: bool = False
    has_shortcuts: bool = False
    gradcam_layers: tuple[str, ...] = ()
    deeplift_sound: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One network: how to build it (without weights' values), its twin's name, where it comes from."""

    name: str
    family: str
    depth: int
    build: Callable[[ModelConfig, DataSpec], nn.Module]
    capabilities: Callable[[ModelConfig, DataSpec], Capabilities]
    twin: str | None = None
    source: str = ""


def resnet_plan(config: ModelConfig, spec: DataSpec) -> ResNetPlan:
    """The plan that a name such as resnet20 or plain50 stands for, on these data."""
    family, depth = _family_and_depth(config.model)
    imagenet = depth in IMAGENET_STAGES
    widths = (64, 128, 256, 512) if imagenet else (16, 32, 64)
    small = max(spec.height, spec.width) <= SMALL_IMAGE
    option = ("B" if imagenet else "A") if config.option == "auto" else config.option
    return ResNetPlan(
        stage_blocks=IMAGENET_STAGES[depth] if imagenet else ((depth - 2) // 6,) * 3,
        widths=tuple(max(8, 8 * round(w * config.width / 8)) for w in widths),
        in_channels=spec.channels,
        classes=len(spec.classes),
        bottleneck=imagenet and depth >= 50,
        plain=family == "plain",
        option=option,
        version=config.version,
        norm=config.norm,
        imagenet_stem=config.stem == "imagenet" or (config.stem == "auto" and imagenet and not small),
        stride_in_1x1=config.stride_in_1x1,
        stochastic_depth=config.stochastic_depth,
    )


def _family_and_depth(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(resnet|plain)(\d+)", name)
    if match is None:
        raise UserError("unknown_name", what="network", value=name, hint=nearest(name, MODELS))
    depth = int(match[2])
    if depth not in IMAGENET_STAGES and (depth < 8 or depth > 1202 or depth % 6 != 2):
        raise UserError("depth_not_6n_plus_2", name=name, value=depth)
    return match[1], depth


def _build_resnet(config: ModelConfig, spec: DataSpec) -> nn.Module:
    return ResNet(resnet_plan(config, spec))


def _resnet_capabilities(config: ModelConfig, spec: DataSpec) -> Capabilities:
    plan = resnet_plan(config, spec)
    stages = tuple(f"stages.{i}" for i in range(len(plan.stage_blocks)))
    # In the ImageNet stem a ReLU runs straight into the max pooling, where Captum 0.9's DeepLift rule is wrong.
    return Capabilities(
        has_blocks=True, has_shortcuts=not plan.plain, gradcam_layers=stages, deeplift_sound=not plan.imagenet_stem or plan.version == "v2"
    )


def _resnet_entry(name: str) -> ModelEntry:
    family, depth = _family_and_depth(name)
    section = "table 1" if depth in IMAGENET_STAGES else "section 4.2"
    return ModelEntry(
        name=name,
        family=family,
        depth=depth,
        build=_build_resnet,
        capabilities=_resnet_capabilities,
        twin=("plain" if family == "resnet" else "resnet") + str(depth),
        source=f"He et al. 2015, {section}, arXiv:1512.03385",
    )


MODELS: dict[str, ModelEntry] = {
    f"{family}{depth}": _resnet_entry(f"{family}{depth}") for depth in (*CIFAR_DEPTHS, *IMAGENET_STAGES) for family in ("resnet", "plain")
}


def model_names() -> tuple[str, ...]:
    return tuple(MODELS)


def get_entry(name: str) -> ModelEntry:
    """The table's entry; any other 6n+2 depth (resnet26, plain38, ...) works as well."""
    return MODELS[name] if name in MODELS else _resnet_entry(name)


def original_spec(name: str) -> DataSpec:
    """The data a network was published for: CIFAR-10 for 6n+2 networks, else ImageNet (names and normalisation left open)."""
    entry = get_entry(name)
    channels, side, classes = (3, 224, 1000) if entry.depth in IMAGENET_STAGES else (3, 32, 10)
    numbers = tuple(str(number) for number in range(classes))
    return DataSpec(name="original", channels=channels, height=side, width=side, classes=numbers, mean=(0.0,) * 3, std=(1.0,) * 3)


def twin_name(name: str) -> str | None:
    """`resnet20` <-> `plain20`; None for networks without a twin."""
    return get_entry(name).twin


def build_model(config: ModelConfig, spec: DataSpec, *, seed: int | None = 0, device: torch.device | str = "cpu") -> nn.Module:
    """The network with its weights drawn from `seed`; with None they are left as allocated (to be loaded, or on `meta`)."""
    entry = get_entry(config.model)
    with torch.device(device if seed is None else "cpu"), torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        model = entry.build(config, spec)
    if seed is not None and isinstance(model, ResNet):
        initialize(model, seed, init=config.init, zero_init_residual=config.zero_init_residual)
    return model.to(device)


def twin_config(config: ModelConfig) -> ModelConfig | None:
    twin = twin_name(config.model)
    return None if twin is None else dataclasses.replace(config, model=twin)
