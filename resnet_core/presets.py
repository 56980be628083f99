"""Recipes by name: what the study notes, the paper and this project train with. Pages, the command line and docs/presets.md read this table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from resnet_core.config import PARTS, RunConfig
from resnet_core.errors import UserError, nearest

NOT_OF_A_RECIPE = (
    "dataset",
    "device",
    "precision",
    "memory_format",
    "convolution",
    "kernels",
    "compile",
    "processes",
    "sync_batchnorm",
)  # where it runs, and on what


@dataclass(frozen=True, kw_only=True)
class Preset:
    """`settings` are those that a recipe decides; all others keep their default. `source` says whose words they are, `purpose` what for.

    `images` is the size of the training split that the recipe was written for. One that is counted in `iterations` gets as many epochs as
    these are on the data at hand; a network named in `warmup` climbs for so many of them.
    """

    name: str
    settings: Mapping[str, Any]
    source: str
    purpose: str
    images: int
    iterations: int | None = None
    warmup: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("settings", "warmup"):
            object.__setattr__(self, part, MappingProxyType(dict(getattr(self, part))))

    def config(self, changes: Mapping[str, Any] | None = None, *, images: int | None = None) -> RunConfig:
        """The run of this recipe with single settings changed, on a training split of `images` (default: its own data set's)."""
        changes = dict(changes or {})
        wished = RunConfig.from_flat({**self.settings, **changes})
        return RunConfig.from_flat({**self.settings, **self._counted(wished, images), **changes})

    def unchanged(self, wished: RunConfig, *, images: int | None = None) -> RunConfig:
        """The recipe that `wished` was made from: its own settings, for that network and batch size and so many images."""
        return RunConfig.from_flat({**self.settings, **self._counted(wished, images), "model": wished.model.model})

    def _counted(self, wished: RunConfig, images: int | None) -> dict[str, float]:
        """What is counted in iterations, in epochs."""
        steps = -(-(images or self.images) // wished.train.batch_size)
        counted: dict[str, float] = {}
        if self.iterations is not None:
            counted["epochs"] = max(round(self.iterations / steps), 1)
        if wished.model.model in self.warmup:
            counted["warmup_epochs"] = self.warmup[wished.model.model] / steps
        return counted


_CROP_AND_FLIP = {"crop_padding": 4, "flip": True}

_PRESETS = (
    Preset(
        name="notes-mnist-adam",
        settings={
            "model": "resnet18", "dataset": "mnist", "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "step",
            "step_epochs": 5, "gamma": 0.5, "epochs": 15, "batch_size": 128,
        },
        images=48_000,
        source="Study notes on ResNet: ResNet-18, Adam 1e-3, StepLR(5, 0.5), 15 epochs, batch 128. No weight decay and no augmentation are named.",
        purpose="MNIST as the study notes train it: to compare with them.",
    ),
    Preset(
        name="notes-cifar-steplr",
        settings={
            "model": "resnet18", "dataset": "cifar10", "valid_fraction": 0.2, **_CROP_AND_FLIP, "optimizer": "sgd", "learning_rate": 0.1,
            "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4, "schedule": "step", "step_epochs": 30, "gamma": 0.1, "epochs": 100,
            "batch_size": 128, "patience": 15,
        },
        images=40_000,
        source=(
            "Study notes on ResNet: StepLR(30, 0.1), a validation share of 0.2, random crop and flip, early stopping. They leave the optimizer open "
            "(here SGD 0.1, momentum 0.9, weight decay 5e-4), and so epochs (100), batch (128) and patience (15)."
        ),
        purpose="CIFAR-10 with drops every 30 epochs, ended when validation no longer improves.",
    ),
    Preset(
        name="notes-cifar-sgd",
        settings={
            "model": "resnet18", "dataset": "cifar10", **_CROP_AND_FLIP, "erase_p": 0.5, "erase_area": 0.33, "optimizer": "sgd",
            "learning_rate": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4, "schedule": "cosine", "label_smoothing": 0.1,
            "epochs": 200, "batch_size": 128,
        },
        images=40_000,
        source=(
            "Study notes on ResNet: SGD with momentum 0.9, cosine annealing, weight decay 5e-4, label smoothing 0.1, random erasing. They leave open the "
            "learning rate (0.1), epochs (200), batch (128), crop and flip; erasing is torchvision's default (p 0.5, up to 0.33 of the image)."
        ),
        purpose="CIFAR-10 to the best accuracy of the study notes.",
    ),
    Preset(
        name="notes-finetune",
        settings={
            "model": "resnet18", "stem": "imagenet", "dataset": "cifar10", "image_size": 224, "start_from": "pretrained", "freeze_epochs": 5,
            "optimizer": "adam", "learning_rate": 1e-3, "unfreeze_learning_rate": 1e-4, "weight_decay": 0.0, "schedule": "plateau", "gamma": 0.5,
            "plateau_patience": 2, "epochs": 40, "batch_size": 32, "jitter": 0.2, "rotation": 15.0,
        },
        images=40_000,
        source=(
            "Study notes on ResNet: pretrained weights, everything but the head frozen for 5 epochs, then 1e-4, ReduceLROnPlateau(0.5, patience 2), "
            "40 epochs, colour jitter, rotation by 15 degrees. They leave open the optimizer (Adam), the head's first rate (1e-3), batch (32), the jitter (0.2)."
        ),
        purpose="A few thousand photographs of one's own, from weights that know ImageNet.",
    ),
    Preset(
        name="he2015-cifar",
        settings={
            "model": "resnet20", "option": "A", "dataset": "cifar10", "valid_fraction": 0.1, **_CROP_AND_FLIP, "optimizer": "sgd",
            "learning_rate": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4, "schedule": "multistep", "milestones": (0.5, 0.75),
            "gamma": 0.1, "warmup_shape": "constant", "warmup_factor": 0.1, "epochs": 182, "batch_size": 128,
        },
        images=45_000,
        iterations=64_000,
        warmup={"resnet110": 400, "plain110": 400},
        source=(
            "He et al. 2015, section 4.2 (arXiv:1512.03385): 64k iterations, the rate divided by 10 at 32k and 48k (half and three quarters of the training), "
            "batch 128, weight decay 1e-4, momentum 0.9, crop after padding 4, flip, 45k/5k split. ResNet-110 begins with 0.01 until the training error is "
            "below 80%, about 400 iterations, then 0.1. Whole epochs: 182 of 352 steps are 64,064 iterations on CIFAR-10."
        ),
        purpose="The networks of the paper, trained as in the paper.",
    ),
    Preset(
        name="fast-cpu",
        settings={
            "model": "resnet20", "dataset": "mnist", "valid_fraction": 0.1, "rotation": 10.0, "translate": 0.08, "scale": 0.1, "shear": 8.0,
            "optimizer": "sgd", "learning_rate": 0.3, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "schedule": "onecycle",
            "epochs": 3, "batch_size": 256,
        },
        images=54_000,
        iterations=633,
        source=(
            "Ours. One cycle of the learning rate (Smith and Topin 2017, arXiv:1708.07120) up to 0.3 with Nesterov momentum, batch 256, weight decay 5e-4, small "
            "affine changes of every image. 633 iterations are 3 epochs of MNIST."
        ),
        purpose="99.4% of MNIST in a few minutes on a CPU.",
    ),
)  # fmt: skip

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _PRESETS})


def get_preset(name: str) -> Preset:
    """Raises unknown_name with the nearest ones."""
    if name not in PRESETS:
        raise UserError("unknown_name", field="preset", what="preset", value=name, hint=nearest(name, PRESETS))
    return PRESETS[name]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A setting that is not as in the recipe."""

    setting: str
    recipe: Any
    chosen: Any


def differences(config: RunConfig, recipe: RunConfig) -> tuple[Difference, ...]:
    """In the order of the settings; where and on which machine a run trains is no difference."""
    chosen, wanted = config.flat(), recipe.flat()
    return tuple(
        Difference(setting=name, recipe=wanted[name], chosen=chosen[name])
        for part in PARTS.values()
        for name in part.settings()
        if name not in NOT_OF_A_RECIPE and chosen[name] != wanted[name]
    )


def presets_document() -> str:
    """docs/presets.md: every recipe with its purpose, its source and the settings that differ from the defaults."""
    lines = [
        "# Presets",
        "",
        "Recipes by name, for `python -m resnet_core train --preset NAME` and the Train page; any setting can be changed afterwards. This page is what",
        "`python -m resnet_core presets --markdown` prints.",
    ]
    for preset in PRESETS.values():
        changed = differences(preset.config(), RunConfig())
        lines += ["", f"## {preset.name}", "", preset.purpose, "", preset.source, "", f"Written for `{preset.settings['dataset']}`."]
        if preset.warmup:
            climbs = ", ".join(f"{network} for {steps} iterations" for network, steps in preset.warmup.items())
            lines += ["", f"Warm-up: {climbs}."]
        lines += ["", "| setting | value | default |", "|---|---|---|"]
        lines += [f"| {d.setting} | {shown(d.chosen)} | {shown(d.recipe)} |" for d in changed]
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A setting's value as `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(item if isinstance(item, str) else f"{item:g}" for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
