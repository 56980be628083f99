"""The randomisation check (Adebayo et al. 2018, arXiv:1810.03292): does a map depend on what the network learned?

Weights are drawn anew from the head down to the stem, one part after the other, and the map is made again each time. A map that stays
shows the image, not the evidence. BatchNorm statistics of the new parts are settled on images, or signals would die or explode on the way.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_core.attribution.computing import (
    BUDGET,
    Images,
    Network,
    Progress,
    ask,
    cost_of,
    counting,
    open_network,
    settings_of,
    targets_of,
)
from resnet_core.attribution.methods import Method, Passes, get_method
from resnet_core.attribution.ranking import spearman
from resnet_core.attribution.traits import Traits
from resnet_core.config import Config
from resnet_core.data.spec import DataSpec
from resnet_core.inspection.settling import settle_norms
from resnet_core.models.initialization import initialize, stream

SAME = 0.7  # rank correlation with the map of the whole network, from which on it counts as the same
OTHER = 0.4  # up to which it counts as another one
RULED = (nn.Conv2d, nn.Linear, _BatchNorm, nn.GroupNorm)  # layers that `initialize` draws
SHIFT = 1_000_003  # between the seed of a request and that of the new weights, which must not be those the network started from

VERDICTS: dict[str, str] = {
    "not_finite": "The map is not finite, so there is nothing to compare: the network's answer is no number.",
    "empty": "The map is 0 everywhere, so there is nothing to compare.",
    "ignores_weights": "Hardly any of the map depends on the weights: it shows the image's edges, not the network's evidence.",
    "ignores_class": "The map stays when the head, which tells the classes apart, is random: it is no evidence for a class.",
    "keeps_image": "Its signs depend on the weights, but where it is strong follows the image whatever the weights are: do not read its shape.",
    "partly": "Some of the map stays with random weights, so only part of it is evidence.",
    "depends": "The map becomes another one with random weights, as it must if it shows what the network learned.",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class SanityStep:
    """With new weights from the head down to `part`: rank correlation of the maps with those before, signed and of their sizes, means
    over images (nan where a map has no order), and the maps (N, C, H, W)."""

    part: str
    signed: float
    absolute: float
    maps: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class SanityCheck:
    """The network's own maps, one step per part from the head to the stem, and what the first and the last say: a code of VERDICTS."""

    maps: NDArray[np.float32]
    steps: tuple[SanityStep, ...]
    verdict: str


def sanity_cost(method: Method, settings: Any, spec: DataSpec, traits: Traits, *, parts: int, settled_on: int, images: int = 1) -> Passes:
    """Passes for one of so many images."""
    once = cost_of(method, settings, spec, traits)
    settling = math.ceil(parts * settled_on / images)
    return Passes(forward=(1 + parts) * (once.forward - 1) + settling, backward=(1 + parts) * once.backward)


def check_randomised(
    model: nn.Module,
    images: Images,
    spec: DataSpec,
    method: str,
    settings: Config | Mapping[str, Any] | None = None,
    *,
    settle_on: Images,
    target: int | Sequence[int] | None = None,
    seed: int = 0,
    references: Images | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
    name: str | None = None,
) -> SanityCheck:
    """The check on these images, with BatchNorm statistics settled on the images `settle_on`; targets stay those of the whole network.

    `progress(passes, of about)` may raise to stop. The model is left as found. Raises what attribute raises.
    """
    chosen, network = get_method(method), open_network(model, spec, budget=budget, name=name)
    options = settings_of(chosen, settings)
    network.require(chosen)
    inputs, pixels = network.prepared(images)
    settling = network.prepared(settle_on)[0]
    others = None if references is None else network.prepared(references)[0]
    targets = targets_of(target, network.scores(inputs), network.name)
    names = parts_of(network.model)
    cost = sanity_cost(chosen, options, spec, network.traits, parts=len(names), settled_on=len(settling), images=len(inputs))
    own = copy.deepcopy(network.model)  # with weights of its own, which change from step to step
    network = replace(network, model=own)

    def maps() -> NDArray[np.float32]:
        return _maps(network, chosen, options, inputs, pixels, targets, others, seed)

    steps: list[SanityStep] = []
    fresh = redrawn(own, seed + SHIFT)
    with counting(own, progress, cost.forward * len(inputs)):
        before = maps()
        for number, part in enumerate(names, start=1):
            renew(own, fresh, part, rest=number == len(names))
            settle_norms(own, settling, within=[own.get_submodule(done) for done in names[:number]])
            steps.append(_step(part, before, maps()))
    return SanityCheck(maps=before, steps=tuple(steps), verdict=_verdict(before, steps))


@torch.no_grad()
def redrawn(model: nn.Module, seed: int) -> nn.Module:
    """A copy with new weights, drawn on the CPU so that they are the same on every device.

    Parameters for which no layer has a rule (the projections inside of torch's attention, positions) have their values shuffled.
    """
    fresh = copy.deepcopy(model).cpu()
    initialize(fresh, seed)
    for name, module in fresh.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif not isinstance(module, RULED):
            for own, parameter in module.named_parameters(recurse=False):
                order = torch.randperm(parameter.numel(), generator=stream(seed, f"{name}.{own}"))
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return fresh


def renew(model: nn.Module, fresh: nn.Module, part: str, *, rest: bool = False) -> None:
    """Give this part the weights of `fresh`; with `rest` also what lies in no part, such as the class token of a transformer."""
    model.get_submodule(part).load_state_dict(fresh.get_submodule(part).state_dict())
    if rest:
        model.load_state_dict({name: value for name, value in fresh.state_dict().items() if "." not in name}, strict=False)


def parts_of(model: nn.Module) -> tuple[str, ...]:
    """Parts with weights from the head to the stem: those of our networks (head, stages, stem), or a foreign network's own children."""
    parts = []
    for name, child in model.named_children():
        inner = [f"{name}.{key}" for key, _ in child.named_children()] if isinstance(child, nn.ModuleList) else [name]
        parts += [part for part in inner if any(True for _ in model.get_submodule(part).parameters())]
    return tuple(reversed(parts))


def _maps(
    network: Network, method: Method, settings: Any, inputs: Tensor, pixels: Tensor, targets: Tensor, references: Tensor | None, seed: int
) -> NDArray[np.float32]:
    answers = ask(network, method, settings, inputs, pixels, targets, references, seed)
    maps: NDArray[np.float32] = torch.cat([answer.maps for _, answer in answers]).float().cpu().numpy()
    return maps


def _step(part: str, before: NDArray[np.float32], after: NDArray[np.float32]) -> SanityStep:
    pairs = list(zip(before, after, strict=True))
    signed = [spearman(one, other) for one, other in pairs]
    absolute = [spearman(np.abs(one), np.abs(other)) for one, other in pairs]
    return SanityStep(part=part, signed=_mean(signed), absolute=_mean(absolute), maps=after)


def _mean(values: Sequence[float]) -> float:
    """Of those that exist."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _verdict(before: NDArray[np.float32], steps: Sequence[SanityStep]) -> str:
    first, last = steps[0], steps[-1]
    if not np.isfinite(before).all():
        return "not_finite"
    if not before.any():
        return "empty"
    if last.signed >= SAME:
        return "ignores_weights"
    if first.signed >= SAME:
        return "ignores_class"
    if last.absolute >= SAME:
        return "keeps_image"
    return "partly" if max(last.signed, last.absolute) > OTHER else "depends"  # nan, nothing left with random weights, is no likeness
