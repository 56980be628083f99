"""All networks by name, with what each of them can be asked for. Pages and commands read this table instead of guessing."""

import contextlib
import dataclasses
import importlib.util
import math
import re

import torch
from torch import nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError, nearest
from resnet_core.models.entry import GROUP_NORM, MAX_POOL, Capabilities, ModelEntry, is_small
from resnet_core.models.initialization import initialize
from resnet_core.models.resnet import ResNet, ResNetPlan
from resnet_core.models.timm_zoo import TIMM
from resnet_core.models.zoo import TORCHVISION
from resnet_core.randomness import drawing_from

CIFAR_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
IMAGENET_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
INSIDES = {"resnext50_32x4d": (32, 2), "wide_resnet50_2": (1, 2)}  # (groups, factor of the channels inside) of ResNet-50's Bottleneck
INSIDE_SOURCES = {
    "resnext50_32x4d": "Xie et al. 2016, arXiv:1611.05431",
    "wide_resnet50_2": "Zagoruyko and Komodakis 2016, arXiv:1605.07146",
}


def resnet_plan(config: ModelConfig, spec: DataSpec) -> ResNetPlan:
    """The plan that a name such as resnet20 or plain50 stands for, on these data."""
    family, depth = _family_and_depth(config.model)
    groups, inner = INSIDES.get(config.model, (1, 1))
    imagenet = depth in IMAGENET_STAGES
    widths = (64, 128, 256, 512) if imagenet else (16, 32, 64)
    step = math.lcm(8, groups // math.gcd(groups, inner))  # the convolutions in groups get a multiple of these
    small = is_small(config, spec) or (config.stem == "auto" and not imagenet)
    option = ("B" if imagenet else "A") if config.option == "auto" else config.option
    return ResNetPlan(
        stage_blocks=IMAGENET_STAGES[depth] if imagenet else ((depth - 2) // 6,) * 3,
        widths=tuple(max(step, step * round(w * config.width / step)) for w in widths),
        in_channels=spec.channels,
        classes=len(spec.classes),
        bottleneck=imagenet and depth >= 50,
        plain=family == "plain",
        option=option,
        version=config.version,
        norm=config.norm,
        imagenet_stem=not small,
        stride_in_1x1=config.stride_in_1x1,
        stochastic_depth=config.stochastic_depth,
        groups=groups,
        inner=inner,
        removed=config.removed_blocks,
        residual_scale=config.residual_scale,
    )


def _family_and_depth(name: str) -> tuple[str, int]:
    if name in INSIDES:
        return "resnet", 50
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
    plan, entry = resnet_plan(config, spec), get_entry(config.model)
    stages = tuple(f"stages.{i}" for i in range(len(plan.stage_blocks)))
    return Capabilities(
        has_blocks=True,
        has_shortcuts=not plan.plain,
        gradcam_layers=stages,
        deeplift_obstacle=MAX_POOL if plan.imagenet_stem else GROUP_NORM if plan.norm == "group" else "",
        family=entry.family,
        source=entry.source,
    )


ORIGINALS = {"lenet5": (1, 28, 10), "inception_v3": (3, 299, 1000), "inception_resnet_v2": (3, 299, 1000)}  # channels, side, classes
RESNET_SETTINGS = tuple(name for name in ModelConfig.settings() if name not in ("model", "patch"))


def _resnet_entry(name: str) -> ModelEntry:
    family, depth = _family_and_depth(name)
    section = "table 1" if depth in IMAGENET_STAGES else "section 4.2"
    return ModelEntry(
        name=name,
        family=family,
        depth=depth,
        build=_build_resnet,
        capabilities=_resnet_capabilities,
        settings=RESNET_SETTINGS,
        twin=None if name in INSIDES else ("plain" if family == "resnet" else "resnet") + str(depth),
        source=INSIDE_SOURCES.get(name, f"He et al. 2015, {section}, arXiv:1512.03385"),
        he=True,
    )


RESNETS = tuple(f"{family}{depth}" for depth in (*CIFAR_DEPTHS, *IMAGENET_STAGES) for family in ("resnet", "plain"))
MODELS: dict[str, ModelEntry] = {
    **{name: _resnet_entry(name) for name in (*RESNETS, *INSIDES)},
    **{entry.name: entry for entry in (*TORCHVISION, *TIMM)},
}


def model_names() -> tuple[str, ...]:
    """All networks that can be built here: those of a package that is not installed are left out."""
    return tuple(name for name, entry in MODELS.items() if _is_here(entry))


def _is_here(entry: ModelEntry) -> bool:
    return entry.extra is None or importlib.util.find_spec(entry.extra) is not None


def get_entry(name: str) -> ModelEntry:
    """The table's entry; any other 6n+2 depth (resnet26, plain38, ...) works as well."""
    return MODELS[name] if name in MODELS else _resnet_entry(name)


def capabilities_of(config: ModelConfig, spec: DataSpec) -> Capabilities:
    """What may be asked of this network on these data; no network is built."""
    return get_entry(config.model).capabilities(config, spec)


def fitting(config: ModelConfig) -> ModelConfig:
    """The config with the defaults in place of settings that mean nothing to its network: one form asks for several networks."""
    known = get_entry(config.model).settings
    return ModelConfig(model=config.model, **{name: getattr(config, name) for name in known})


def check_network(config: ModelConfig, spec: DataSpec) -> None:
    """Raise what is wrong with a network on these data before it is built: a setting or a package it lacks, images of the wrong size."""
    entry, able = get_entry(config.model), capabilities_of(config, spec)
    usual = fitting(config)
    if not _is_here(entry):
        raise UserError("package_missing", package=entry.extra)
    for name in ModelConfig.settings():
        if getattr(config, name) != getattr(usual, name):
            raise UserError("setting_not_for", field=name, name=config.model, default=getattr(usual, name))
    height, width, side = spec.height, spec.width, able.multiple_of
    least = min(height, width)
    if least < able.smallest:
        raise UserError("input_too_small", field="image_size", name=entry.name, value=least, smallest=able.smallest)
    if height % side or width % side:
        near = side * max(round(least / side), 1)
        fits = next(number for number in sorted(range(1, least + 1), key=lambda n: (abs(n - side), -n)) if least % number == 0)
        raise UserError("not_a_multiple", field="image_size", name=entry.name, patch=side, height=height, width=width, near=near, fits=fits)


def original_spec(name: str) -> DataSpec:
    """The data a network was published for: CIFAR-10 for 6n+2 networks, digits for LeNet-5, else ImageNet (names and normalisation open)."""
    entry = get_entry(name)
    channels, side, classes = 3, 224, 1000
    if entry.family in ("resnet", "plain") and entry.depth not in IMAGENET_STAGES:
        side, classes = 32, 10
    elif name in ORIGINALS:
        channels, side, classes = ORIGINALS[name]
    numbers = tuple(str(number) for number in range(classes))
    return DataSpec(
        name="original", channels=channels, height=side, width=side, classes=numbers, mean=(0.0,) * channels, std=(1.0,) * channels
    )


def twin_name(name: str) -> str | None:
    """`resnet20` <-> `plain20`; None for networks without a twin."""
    return get_entry(name).twin


def build_model(config: ModelConfig, spec: DataSpec, *, seed: int | None = 0, device: torch.device | str = "cpu") -> nn.Module:
    """The network with its weights drawn from `seed`; with None they are left as allocated (to be loaded, or on `meta`).

    Raises unknown_name, depth_not_6n_plus_2 and what `check_network` raises.
    """
    entry = get_entry(config.model)
    check_network(config, spec)
    draws = torch.device(device).type != "meta" or seed is not None  # shapes alone need no random numbers, and wait for nobody
    with torch.device(device if seed is None else "cpu"), drawing_from(seed, devices=[]) if draws else contextlib.nullcontext():
        model = entry.build(config, spec)
    if seed is not None and entry.he:
        initialize(model, seed, init=config.init, zero_init_residual=config.zero_init_residual)
    model.network_name, model.gradcam_layers = config.model, capabilities_of(config, spec).gradcam_layers  # type: ignore[assignment]
    return model.to(device)


def twin_config(config: ModelConfig) -> ModelConfig | None:
    twin = twin_name(config.model)
    return None if twin is None else dataclasses.replace(config, model=twin)
