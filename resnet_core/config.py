"""Every setting of a run: default, range and help stand here once; forms, the command line and docs derive from them.

A config is frozen and valid at birth: wrong values raise `UserError` naming the field, the value and the remedy.
"""

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from resnet_core.errors import UserError, nearest


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What may be chosen for one field: `choices`, or a range from `minimum` to `maximum` (both included)."""

    help: str
    choices: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""

    @property
    def range(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f"between {_exact(self.minimum)} and {_exact(self.maximum)}"
        if self.minimum is not None:
            return f"at least {_exact(self.minimum)}"
        return f"at most {_exact(self.maximum)}"


def _exact(limit: float | None) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def setting(default: Any, help: str, **limits: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(help=help, **limits)})


class Config:
    """What the configs share: validation at birth, `settings()`, and the way to and from plain dicts."""

    def __post_init__(self) -> None:
        hints = self.hints()
        for item in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, item.name, _checked(item, hints[item.name], getattr(self, item.name)))

    @classmethod
    @functools.cache
    def settings(cls) -> Mapping[str, Setting]:
        return types.MappingProxyType({item.name: item.metadata["setting"] for item in fields(cls)})  # type: ignore[arg-type]

    @classmethod
    @functools.cache
    def hints(cls) -> Mapping[str, Any]:
        """What each setting is annotated with. Python works the annotations out anew at every call, and a page asks hundreds of times."""
        return types.MappingProxyType(typing.get_type_hints(cls))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config with these fields; missing ones keep their default (older files), unknown ones raise."""
        for name in values:
            if name not in cls.settings():
                raise UserError("unknown_setting", value=name, hint=nearest(name, cls.settings()))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


def _checked(item: "dataclasses.Field[Any]", hint: Any, value: Any) -> Any:
    """`value` as its field's type and inside its range; text (from the command line or a URL) is parsed first."""
    rule: Setting = item.metadata["setting"]
    optional = isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)
    if optional and value in (None, "", "none", "None"):
        return None
    kind = next(a for a in typing.get_args(hint) if a is not type(None)) if optional else hint
    value = _parsed(item.name, kind, value)
    if rule.choices is not None and value not in rule.choices:
        raise UserError("not_a_choice", field=item.name, value=value, choices=", ".join(rule.choices))
    for number in value if isinstance(value, tuple) else (value,):
        low = rule.minimum is not None and number < rule.minimum
        if low or (rule.maximum is not None and number > rule.maximum):
            raise UserError("out_of_range", field=item.name, value=value, range=rule.range)
    return value


def _parsed(name: str, kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise UserError(
                "wrong_type", field=name, value=value, kind="a list of names" if str in typing.get_args(kind) else "a list of numbers"
            )
        return tuple(_parsed(name, typing.get_args(kind)[0], p.strip() if isinstance(p, str) else p) for p in parts if p != "")
    if kind is bool:
        known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
        if isinstance(value, bool):
            return value
        if str(value).lower() in known:
            return known[str(value).lower()]
        raise UserError("wrong_type", field=name, value=value, kind="true or false")
    if kind is str:
        if value is None:
            raise UserError("wrong_type", field=name, value=value, kind="text")
        return str(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or (kind is int and number != int(number)):
        raise UserError("wrong_type", field=name, value=value, kind="a whole number" if kind is int else "a number")
    return int(number) if kind is int else number


@dataclass(frozen=True, kw_only=True)
class DataConfig(Config):
    """Which images, and how they are split. The test split is the data set's own and is never cut."""

    dataset: str = setting("mnist-mini", "data set by name, or image-folder:PATH")
    valid_fraction: float = setting(0.2, "share of the training set kept for validation", minimum=0.01, maximum=0.9)
    split_seed: int = setting(0, "seed of the stratified split", minimum=0, maximum=2**31 - 1)
    image_size: int | None = setting(None, "side to resize images to; none keeps the set's own size", minimum=8, maximum=512, unit="px")
    train_limit: int | None = setting(
        None, "use only this many training images (stratified); none uses all", minimum=2, maximum=100_000_000
    )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Which network. Input channels and classes are the data set's and are not chosen here."""

    model: str = setting("resnet20", "network by name, such as resnet20 or plain20")
    option: str = setting(
        "auto",
        "shortcut where the shape changes: A zero-padding, B projection, C projection everywhere; auto: A for 6n+2 networks, else B",
        choices=("auto", "A", "B", "C"),
    )
    version: str = setting("v1", "v1: ReLU after the add (He 2015); v2: pre-activation (He 2016)", choices=("v1", "v2"))
    norm: str = setting("batch", "normalisation after each convolution", choices=("batch", "group", "none"))
    width: float = setting(1.0, "multiplier of every stage's channels", minimum=0.125, maximum=8)
    stem: str = setting(
        "auto",
        "auto: as the data's size asks; small: 3x3 stride 1; imagenet: 7x7 stride 2 and pooling",
        choices=("auto", "small", "imagenet"),
    )
    stride_in_1x1: bool = setting(False, "Bottleneck: stride in the first 1x1 (He 2015) instead of the 3x3 (torchvision, v1.5)")
    init: str = setting("he", "he: Kaiming normal; dirac: convolutions start as the identity", choices=("he", "dirac"))
    zero_init_residual: bool = setting(
        False, "start every residual branch at 0 (gamma of its last BatchNorm); not in plain networks, where nothing would pass"
    )
    residual_scale: float = setting(
        1.0, "factor on F before the add; below 1, deep networks without norms stay calm", minimum=0.001, maximum=10
    )
    stochastic_depth: float = setting(
        0.0, "probability to drop the last residual branch while training (linear over depth)", minimum=0, maximum=0.9
    )
    patch: int | None = setting(
        None, "transformers: side of a patch; none: 16 (Swin 4), on small images 4 (Swin 2)", minimum=1, maximum=64, unit="px"
    )
    removed_blocks: tuple[str, ...] = setting(
        (), "residual blocks that are left out, by name, such as stages.0.1; only those whose shortcut changes no shape can be"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.removed_blocks:
            if not re.fullmatch(r"stages\.\d+\.\d+", name):
                raise UserError("not_a_block", field="removed_blocks", value=name)
        object.__setattr__(self, "removed_blocks", tuple(sorted(set(self.removed_blocks), key=_numbers)))


def _numbers(block: str) -> list[int]:
    return [int(number) for number in block.split(".")[1:]]


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Config):
    """Random changes of training images, on the device, a whole batch at a time. Never on validation or test."""

    crop_padding: int = setting(0, "random crop after padding each side", minimum=0, maximum=32, unit="px")
    flip: bool = setting(False, "mirror left and right with probability 1/2")
    rotation: float = setting(0.0, "rotate by up to this angle", minimum=0, maximum=180, unit="degrees")
    translate: float = setting(0.0, "shift by up to this share of the side", minimum=0, maximum=0.5)
    scale: float = setting(0.0, "scale by 1 plus or minus up to this", minimum=0, maximum=0.9)
    shear: float = setting(0.0, "slant by up to this angle", minimum=0, maximum=60, unit="degrees")
    elastic: float = setting(0.0, "elastic displacement (standard deviation)", minimum=0, maximum=8, unit="px")
    thickness: float = setting(0.0, "thicken or thin strokes by up to this radius", minimum=0, maximum=3, unit="px")
    jitter: float = setting(0.0, "brightness, contrast and saturation by up to this factor", minimum=0, maximum=1)
    erase_p: float = setting(0.0, "probability to erase a random rectangle", minimum=0, maximum=1)
    erase_area: float = setting(0.2, "largest share of the image that erasing takes", minimum=0.02, maximum=0.8)
    cutout: int = setting(0, "side of a square set to the mean", minimum=0, maximum=128, unit="px")
    mixup: float = setting(0.0, "alpha of the Beta distribution that mixes two images; 0 is off", minimum=0, maximum=4)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """How the weights are found."""

    epochs: int = setting(3, "passes over the training split", minimum=1, maximum=10_000)
    batch_size: int = setting(128, "images per step (over all processes)", minimum=1, maximum=65_536)
    optimizer: str = setting("sgd", "update rule", choices=("sgd", "adam", "adamw"))
    learning_rate: float = setting(0.1, "learning rate at its highest", minimum=1e-8, maximum=1000)
    momentum: float = setting(0.9, "momentum of SGD", minimum=0, maximum=0.9999)
    nesterov: bool = setting(True, "Nesterov momentum (SGD)")
    weight_decay: float = setting(5e-4, "weight decay", minimum=0, maximum=10)
    decay_all: bool = setting(True, "decay BatchNorm and biases too")
    schedule: str = setting(
        "onecycle", "learning rate over time", choices=("constant", "step", "multistep", "cosine", "onecycle", "plateau")
    )
    step_epochs: int = setting(30, "step: epochs between two drops", minimum=1, maximum=10_000)
    milestones: tuple[float, ...] = setting((0.5, 0.75), "multistep: drops, as shares of the training", minimum=0, maximum=1)
    gamma: float = setting(0.1, "step, multistep, plateau: factor of a drop", minimum=1e-6, maximum=1)
    plateau_patience: int = setting(2, "plateau: epochs without a better validation loss before a drop", minimum=0, maximum=1000)
    warmup_epochs: float = setting(0.0, "warm-up before the schedule", minimum=0, maximum=1000, unit="epochs")
    warmup_factor: float = setting(0.1, "share of the learning rate at which the warm-up starts", minimum=1e-4, maximum=1)
    warmup_shape: str = setting(
        "linear", "linear: climbs to the learning rate; constant: stays below, then jumps (He 2015)", choices=("linear", "constant")
    )
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", minimum=0, maximum=0.9)
    clip_norm: float | None = setting(None, "scale the gradient down to this norm; none is off", minimum=1e-6)
    patience: int | None = setting(
        None, "stop after this many epochs without a better validation accuracy; none is off", minimum=1, maximum=10_000
    )
    ema_decay: float | None = setting(
        None,
        "decay of the exponential moving average of the weights, which is then evaluated and saved; none is off",
        minimum=0,
        maximum=0.99999,
    )
    start_from: str | None = setting(None, "checkpoint (run, shipped name, path) or 'pretrained' to start from; none starts fresh")
    freeze_epochs: int = setting(0, "train only the head for the first epochs", minimum=0, maximum=10_000)
    unfreeze_learning_rate: float | None = setting(
        None, "learning rate after unfreezing; none keeps the schedule's", minimum=1e-8, maximum=1000
    )
    freeze_statistics: bool = setting(True, "keep BatchNorm statistics of frozen parts")
    seed: int = setting(0, "seed of weights, data order and augmentation", minimum=0, maximum=2**31 - 1)
    device: str = setting("auto", "auto: cuda, then mps, then cpu", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = setting("auto", "auto: the fastest that is sound on this machine", choices=("auto", "float32", "bfloat16", "float16"))
    memory_format: str = setting("auto", "order of an image batch in memory", choices=("auto", "contiguous", "channels_last"))
    convolution: str = setting(
        "auto",
        "3x3 convolutions of float32 on a CPU; winograd: up to four times fewer multiplications, other last digits",
        choices=("auto", "direct", "winograd"),
    )
    kernels: str = setting(
        "auto",
        "of a CPU's training step in channels_last; native: ours, made by the machine's C compiler, other last digits; auto: these unless they are slower",
        choices=("auto", "torch", "native"),
    )
    compile: bool = setting(False, "torch.compile (slow start, faster steps)")
    processes: int = setting(1, "processes that share every batch, on GPUs one each", minimum=1, maximum=4096)
    sync_batchnorm: bool = setting(
        True, "several processes: BatchNorm over the whole batch, so that their number changes nothing; off: each its own share, faster"
    )
    probe_every: int | None = setting(
        None, "steps between two recordings of block statistics; none is once an epoch", minimum=1, maximum=100_000_000
    )
    keep_every: int | None = setting(
        None, "keep a checkpoint every this many epochs besides first, best and last; none keeps those only", minimum=1, maximum=10_000
    )


PARTS: dict[str, type[Config]] = {"data": DataConfig, "model": ModelConfig, "augment": AugmentConfig, "train": TrainConfig}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All that decides a run. Field names are unique over the four parts, so a flat `key=value` finds its place."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], base: "RunConfig | None" = None) -> "RunConfig":
        """`base` (default: the defaults) with single settings changed, wherever they live."""
        parts = (base or cls()).to_dict()
        for name, value in values.items():
            home = next((part for part, kind in PARTS.items() if name in kind.settings()), None)
            if home is None:
                known = [key for kind in PARTS.values() for key in kind.settings()]
                raise UserError("unknown_setting", value=name, hint=nearest(name, known))
            parts[home][name] = value
        return cls.from_dict(parts)

    @classmethod
    def from_dict(cls, parts: Mapping[str, Mapping[str, Any]]) -> "RunConfig":
        for name in parts:
            if name not in PARTS:
                raise UserError("unknown_setting", value=name, hint=nearest(name, PARTS))
        return cls(**{name: kind.from_dict(parts.get(name, {})) for name, kind in PARTS.items()})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return {name: getattr(self, name).to_dict() for name in PARTS}

    def flat(self) -> dict[str, Any]:
        return {key: value for part in self.to_dict().values() for key, value in part.items()}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        return cls.from_dict(json.loads(text))
