"""Weights of other projects, under our names and on our channels and classes.

Known are torchvision's names (fc, downsample), those of kuangliu/pytorch-cifar and akamaster/pytorch_resnet_cifar10 (linear, shortcut), and for
networks that torchvision or timm builds their own. What a network needs otherwise than the file has it is said, tensor by tensor: kept, averaged
over channels, resampled to another grid of patches, or drawn afresh. Only the first convolution, the head and what a transformer knows of its
grid may differ: anything else that does not fit raises weights_do_not_fit.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.errors import UserError
from resnet_core.models.places import head_name
from resnet_core.models.resnet import ResNet

WRAPPINGS = ("module.", "_orig_mod.")  # DataParallel and torch.compile
ATTRIBUTES = ("model.", "net.", "network.", "backbone.", "resnet.", "encoder.")  # where a LightningModule keeps its network
CONTAINERS = ("state_dict", "net", "model", "model_state_dict", "weights")  # under which checkpoints keep their weights
LEFT_OUT = re.compile(r"(aux\d|AuxLogits|head_dist)\..*|dist_token|.*(relative_position_index|attn_mask|relative_coords_table)")
GRID = re.compile(r"(encoder\.pos_embedding|pos_embed|.*relative_position_bias_table)")  # what a transformer knows of its grid of patches
COUNTER = "num_batches_tracked"  # older files lack it
SHOWN = 3
TO_TORCHVISION: tuple[tuple[str, Any], ...] = (
    (r"^stages\.(\d)\.", lambda m: f"layer{int(m[1]) + 1}."),
    (r"residual\.conv(\d)", r"conv\1"),
    (r"residual\.norm(\d)", r"bn\1"),
    (r"shortcut\.conv", "downsample.0"),
    (r"shortcut\.norm", "downsample.1"),
    (r"^stem\.conv", "conv1"),
    (r"^stem\.norm", "bn1"),
    (r"^head\.fc", "fc"),
)
# Names in older files of torchvision's own networks, as its loading code knows them.
OLDER: tuple[tuple[str, str], ...] = (
    (r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2"),
    (r"\.mlp\.0\.", ".mlp.linear_1."),
    (r"\.mlp\.3\.", ".mlp.linear_2."),
)


@dataclass(frozen=True, kw_only=True)
class FittedWeights:
    """`weights` are all of the network's, ready to be loaded; the names say where each came from.

    `averaged`: the mean over the file's input channels, times their number over ours, so that a grey image is answered as before.
    `resampled`: positions, interpolated to our grid of patches. `fresh`: drawn from the seed, since the file's have another shape.
    `unused`: names in the file that no such network needs (auxiliary heads). `source`: the file or the address they came from.
    """

    weights: dict[str, Tensor]
    source: str
    kept: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()
    resampled: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def not_finite(self) -> tuple[str, ...]:
        """Tensors that hold nan or infinity."""
        return tuple(name for name, tensor in self.weights.items() if tensor.is_floating_point() and not tensor.isfinite().all())


def unwrapped(found: Any) -> dict[str, Tensor] | None:
    """The state_dict inside what a file holds, without the prefixes of wrappers; None where there is none."""
    for _ in range(2):  # {'net': {'state_dict': ...}} is as deep as it goes
        inner = next((found[key] for key in CONTAINERS if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)), found)
        found = inner
    if not isinstance(found, Mapping) or not found or not all(isinstance(key, str) for key in found):
        return None
    weights = {_bare(name): value for name, value in found.items() if isinstance(value, Tensor)}
    return _lifted(weights) if len(weights) == len(found) else None


def _lifted(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the attribute that all names begin with, or all convolutions: beside a network there may be a loss with weights of its own."""
    while prefix := next((p for p in ATTRIBUTES if _holds_the_network(p, weights)), None):
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def _holds_the_network(prefix: str, weights: Mapping[str, Tensor]) -> bool:
    convolutions = [name for name, tensor in weights.items() if tensor.ndim == 4]
    return all(name.startswith(prefix) for name in convolutions or weights)


def _bare(name: str) -> str:
    while wrapping := next((w for w in WRAPPINGS if name.startswith(w)), None):
        name = name.removeprefix(wrapping)
    return name


def torchvision_name(name: str) -> str:
    """A ResNet's parameter as torchvision calls it: stages.0.1.residual.conv2.weight is layer1.1.conv2.weight."""
    for pattern, replacement in TO_TORCHVISION:
        name = re.sub(pattern, replacement, name)
    return name


def foreign_names(model: nn.Module, name: str) -> tuple[str, ...]:
    """What the files of other projects call our tensor `name`, most likely first."""
    if not isinstance(model, ResNet):
        older = name
        for pattern, replacement in OLDER:
            older = re.sub(pattern, replacement, older)
        return tuple(dict.fromkeys((name, older)))
    theirs = torchvision_name(name)
    spellings = product(("downsample", "shortcut"), ("fc.", "linear."))
    return tuple(dict.fromkeys([re.sub(r"^fc\.", head, theirs.replace("downsample", path)) for path, head in spellings] + [name]))


def fit_weights(model: nn.Module, theirs: Mapping[str, Tensor], *, source: str, name: str, average: bool = True) -> FittedWeights:
    """Their weights for `model`, whose own values stand where theirs have another shape.

    Raises weights_do_not_fit with the three closest mismatches where more than the first convolution, the head or a grid differs.
    """
    own = model.state_dict()
    found = {ours: next((n for n in foreign_names(model, ours) if n in theirs), None) for ours in own}
    fitted: dict[str, Tensor] = dict(own)
    where: dict[str, list[str]] = {"kept": [], "averaged": [], "resampled": [], "fresh": []}
    first, head = _first_convolution(model), head_name(model)
    misfits: list[Misfit] = []
    for ours, tensor in own.items():
        key = found[ours]
        if key is None:
            if ours.startswith(f"{head}."):
                where["fresh"].append(ours)
            elif not ours.endswith(COUNTER) and not LEFT_OUT.fullmatch(ours):
                misfits.append(Misfit(name=ours, need=tuple(tensor.shape)))
            continue
        value, how = _fitted(ours, tensor, theirs[key], first=first, head=head, average=average)
        if value is None:
            misfits.append(Misfit(name=key, have=tuple(theirs[key].shape), need=tuple(tensor.shape)))
            continue
        fitted[ours] = value.to(tensor.dtype)
        where[how].append(ours)
    used = set(found.values())
    unused = tuple(n for n in theirs if n not in used and not n.endswith(COUNTER))
    misfits += [Misfit(name=n, have=tuple(theirs[n].shape)) for n in unused if not LEFT_OUT.fullmatch(n)]
    if misfits:
        raise UserError("weights_do_not_fit", source=source, model=name, mismatches=describe_misfits(misfits))
    return FittedWeights(weights=fitted, source=source, unused=unused, **{how: tuple(names) for how, names in where.items()})


def _fitted(name: str, own: Tensor, other: Tensor, *, first: str, head: str, average: bool) -> tuple[Tensor | None, str]:
    """Our tensor from theirs, and how; None where it may not differ."""
    if own.shape == other.shape:
        return other, "kept"
    part = name.rpartition(".")[0]
    if part == first and own.ndim == other.ndim == 4 and average and own.shape[2:] == other.shape[2:] and len(own) == len(other):
        return averaged_channels(other, own.shape[1]), "averaged"
    if (
        GRID.fullmatch(name)
        and own.ndim == 3
        and own.shape[::2] == other.shape[::2]
        and _is_square(own.shape[1])
        and _is_square(other.shape[1])
    ):
        return resampled_positions(other, own.shape[1]), "resampled"
    if part == first and len(own) == len(other):
        return own, "fresh"
    return (own, "fresh") if name.startswith(f"{head}.") or GRID.fullmatch(name) else (None, "fresh")


def averaged_channels(weight: Tensor, channels: int) -> Tensor:
    """(out, in, k, k) -> (out, channels, k, k): the mean over input channels, scaled so that a grey image gets the same answer."""
    return weight.mean(1, keepdim=True).expand(-1, channels, -1, -1) * (weight.shape[1] / channels)


def resampled_positions(positions: Tensor, count: int) -> Tensor:
    """Positions (1, 1 + n * n, width) of a class token and a square grid, for `count` of them, bicubic as in Dosovitskiy et al. 2020."""
    token, grid = positions[:, :1], positions[:, 1:]
    sides = [math.isqrt(number) for number in (grid.shape[1], count - 1)]
    maps = grid.transpose(1, 2).reshape(1, -1, sides[0], sides[0])  # (1, width, n, n)
    maps = functional.interpolate(maps.float(), size=(sides[1], sides[1]), mode="bicubic", align_corners=False)
    return torch.cat([token, maps.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)


def _is_square(count: int) -> bool:
    """Whether so many positions are a class token and a square grid."""
    return count > 1 and math.isqrt(count - 1) ** 2 == count - 1


def _first_convolution(model: nn.Module) -> str:
    return next((name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)), "")


# -- what does not fit -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A tensor by name with the shape in the file and the one that the network needs; None where one of them lacks it."""

    name: str
    have: tuple[int, ...] | None = None
    need: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{self.name} {_shape(self.have)} -> {_shape(self.need)}"

    @property
    def distance(self) -> float:
        """How far the shapes are apart: in factors of size, and further where one of them is missing."""
        if self.have is None or self.need is None:
            return math.inf
        return abs(math.log(math.prod(self.have) or 1) - math.log(math.prod(self.need) or 1)) + 100 * (len(self.have) != len(self.need))


def describe_misfits(misfits: Iterable[Misfit]) -> str:
    """The three closest, as `name file -> network`; where no name agrees, ours beside the most similar ones of the file."""
    listed = sorted(misfits, key=lambda misfit: misfit.distance)
    if listed[0].have is None or listed[0].need is None:
        listed = list(_paired(listed)) or listed
    return "; ".join(str(misfit) for misfit in listed[:SHOWN])


def _paired(listed: list[Misfit]) -> Iterator[Misfit]:
    """Names that only one side has, put together by likeness."""
    missing = [misfit for misfit in listed if misfit.have is None]
    extra = {misfit.name: misfit for misfit in listed if misfit.need is None}
    for misfit in missing[: SHOWN + 1]:
        close = get_close_matches(misfit.name, extra, n=1, cutoff=0.5)
        other = extra.pop(close[0]) if close else None
        yield Misfit(name=f"{other.name} / {misfit.name}" if other else misfit.name, have=other.have if other else None, need=misfit.need)


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "-"
    return "x".join(map(str, shape)) if shape else "1"


# -- what a file tells of its network --------------------------------------------------------------------------------------------------------


def shortcut_option(theirs: Mapping[str, Tensor]) -> str:
    """A: no shortcut has weights; C: also the one of the very first block of a BasicBlock network has; B otherwise."""
    paths = {name for name in theirs if re.search(r"\.(downsample|shortcut)\.", name)}
    if not paths:
        return "A"
    return "C" if any(re.match(r"layer1\.1\.", name) for name in paths) else "B"


def first_and_last(model: nn.Module, theirs: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """Their weights (out, in, k, k) of the model's first convolution and (classes, features) of its last linear layer."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    layers = (_first_convolution(model), linear[-1])
    first, last = (next((theirs[n] for n in foreign_names(model, f"{layer}.weight") if n in theirs), None) for layer in layers)
    return first, last
