"""Whether two trainings were a fair experiment: what they share, and every setting in which they differ."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from resnet_core.config import DataConfig
from resnet_core.data import Split, load_split
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint, initial_model, require_channels
from resnet_core.runs.checkpoint import knows_beginning

# What decides which image a step sees: the images, how they are split and ordered, how many make a step.
ORDER = ("dataset", "valid_fraction", "split_seed", "train_limit", "batch_size", "seed")
MEASURED = "precision"  # no setting: what `auto` became on the machine that trained


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A setting by its name, as A and as B have it."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """`same_weights` compares the tensors that both networks have under one name before their first step: `shared` of them, `own` have
    no partner. None where a training started from another checkpoint, and its first weights are not here. Of networks that were trained
    `elsewhere` nothing is known."""

    same_weights: bool | None
    shared: int
    own: int
    same_order: bool | None
    differences: tuple[Difference, ...]
    elsewhere: tuple[str, ...] = ()

    @property
    def same_settings(self) -> bool | None:
        return None if self.elsewhere else not self.differences


def conditions(a: Checkpoint, b: Checkpoint) -> Conditions:
    """Of two trainings. That their networks differ is the question, not a difference."""
    elsewhere = tuple(checkpoint.name for checkpoint in (a, b) if checkpoint.is_imported)
    if elsewhere:
        return Conditions(same_weights=None, shared=0, own=0, same_order=None, differences=(), elsewhere=elsewhere)
    settings = tuple(zip(a.config.flat().items(), b.config.flat().values(), strict=True))
    differences = [Difference(name=name, a=x, b=y) for (name, x), y in settings if x != y and name != "model"]
    x, y = a.metrics.get(MEASURED), b.metrics.get(MEASURED)
    if x != y and not any(difference.name == MEASURED for difference in differences):
        differences.append(Difference(name=MEASURED, a=x, b=y))
    same, shared, own = _same_weights(a, b)
    return Conditions(
        same_weights=same,
        shared=shared,
        own=own,
        same_order=not any(difference.name in ORDER for difference in differences),
        differences=tuple(differences),
    )


def _same_weights(a: Checkpoint, b: Checkpoint) -> tuple[bool | None, int, int]:
    first, second = (dict(initial_model(checkpoint).named_parameters()) for checkpoint in (a, b))
    shared = first.keys() & second.keys()
    own = len(first) + len(second) - 2 * len(shared)
    if not (knows_beginning(a) and knows_beginning(b)):
        return None, len(shared), own
    same = bool(shared) and all(torch.equal(first[name], second[name]) for name in shared)
    return same, len(shared), own


def require_comparable(a: Checkpoint, b: Checkpoint) -> None:
    """Raise pair_channels or pair_classes unless both networks answer the same question about the same kind of image."""
    if a.spec.channels != b.spec.channels:
        raise UserError("pair_channels", name=a.name, have=a.spec.channels, other=b.name, need=b.spec.channels)
    if a.spec.classes != b.spec.classes:
        raise UserError("pair_classes", name=a.name, have=_some(a.spec.classes), other=b.name, need=_some(b.spec.classes))


def _some(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:3])
    return f"{shown}, ... ({len(classes)})" if len(classes) > 3 else shown


def pair_images(a: Checkpoint, b: Checkpoint, data: DataConfig, split: str) -> tuple[Split, Split]:
    """The same images in the same order, each at its network's size; training and validation as `data` cuts them.

    Raises pair_channels, pair_classes, checkpoint_channels, checkpoint_classes, and what opening the data raises.
    """
    require_comparable(a, b)
    found = []
    for checkpoint in (a, b):
        spec, images = load_split(data_at_size_of(checkpoint, data), split)
        require_channels(checkpoint, spec.channels)
        if len(spec.classes) != len(checkpoint.spec.classes):
            have, need = len(checkpoint.spec.classes), len(spec.classes)
            raise UserError("checkpoint_classes", name=checkpoint.name, have=have, dataset=spec.name, need=need)
        found.append(images)
    return found[0], found[1]


def data_at_size_of(checkpoint: Checkpoint, data: DataConfig) -> DataConfig:
    """The same cut of the same data, at the size that the network was trained on."""
    if data.dataset == checkpoint.config.data.dataset:
        return replace(data, image_size=checkpoint.config.data.image_size)
    return replace(data, image_size=checkpoint.spec.height)
