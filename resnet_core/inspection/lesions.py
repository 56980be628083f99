"""What a network still knows when blocks are switched off (Veit et al. 2016, arXiv:1605.06431).

A lesioned block is its shortcut alone: y = relu(shortcut(x)), with the projection or zero-padding where the shape changes. A plain
block has no shortcut; it becomes what would be option A's: the identity, or every second pixel with zeros as the new channels.
Blocks can also run in another order, or several times, where their channels fit (Veit et al. 2016, section 4.2).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_core.data.spec import DataSpec, Split, normalize
from resnet_core.errors import UserError
from resnet_core.inspection.recording import untouched
from resnet_core.models import BlockPlace, ResidualBlock, ResNet, ZeroPadding, block_places, find_block, name_of


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """What is left of a network without these blocks. `per_class` is each label's accuracy (nan without images)."""

    blocks: tuple[str, ...]
    accuracy: float
    per_class: tuple[float, ...]
    probabilities: NDArray[np.float32] | None  # (n, K), where asked for


class NoResidual(nn.Sequential):
    """In place of a residual branch: zeros of the shape that the branch would have given."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(self[0](x))


def _shape(block: ResidualBlock) -> tuple[int, int, int]:
    """(channels of x, channels of F(x), stride)."""
    convolutions = [m for m in block.residual if isinstance(m, nn.Conv2d)]
    return convolutions[0].in_channels, convolutions[-1].out_channels, math.prod(m.stride[0] for m in convolutions)


def _bypass(block: ResidualBlock) -> nn.Module:
    """From the shape of x to the shape of F(x) without a weight."""
    channels, out, stride = _shape(block)
    return nn.Identity() if stride == 1 and channels == out else ZeroPadding(channels, out, stride)


@contextlib.contextmanager
def lesioned(model: nn.Module, blocks: Sequence[str]) -> Iterator[nn.Module]:
    """The model with these blocks switched off; at the end, or after an exception, they are as before.

    The model itself is changed while open: one that others use needs a copy. Raises UserError for a block it does not have.
    """
    with contextlib.ExitStack() as stack:
        for name in dict.fromkeys(blocks):
            stack.enter_context(_off(find_block(model, name, model_name=name_of(model)).module))
        yield model


@contextlib.contextmanager
def _off(block: ResidualBlock) -> Iterator[None]:
    residual, preact = block.residual, block.preact
    if not any(isinstance(module, nn.Conv2d) for module in residual):  # it is off already, by a lesion around this one
        yield
        return
    if block.shortcut is not None:
        block.residual = NoResidual(_bypass(block)).train(residual.training)
    else:  # the shared norm of a v2 block stands in front of both paths: without a shortcut it belongs to the branch
        block.residual, block.preact = nn.Sequential(_bypass(block)).train(residual.training), nn.Identity()
    try:
        yield
    finally:
        block.residual, block.preact = residual, preact


def each_block(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The groups of a lesion study of single blocks: nothing first, then every block alone."""
    return ((), *((place.name,) for place in block_places(model)))


def random_blocks(names: Sequence[str], sizes: Sequence[int], *, draws: int, seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """`draws` different groups of each size (all of them, where there are not so many), by size, each in the order of `names`."""
    rng, groups = np.random.default_rng(seed), []
    for size in sizes:
        wanted, drawn = min(draws, math.comb(len(names), size)), set[tuple[int, ...]]()
        while len(drawn) < wanted:
            drawn.add(tuple(sorted(rng.permutation(len(names))[:size].tolist())))
        groups += [tuple(names[place] for place in group) for group in sorted(drawn)]
    return tuple(groups)


def swapped(names: Sequence[str], one: str, other: str) -> tuple[str, ...]:
    """The order in which these two blocks have changed places."""
    places = {one: other, other: one}
    return tuple(places.get(name, name) for name in names)


def swappable(model: nn.Module, name: str) -> tuple[str, ...]:
    """The other blocks that take and give what this block does, so that the two can change places."""
    places = block_places(model)
    shape = _shape(find_block(model, name, model_name=name_of(model)).module)
    return tuple(place.name for place in places if place.name != name and _shape(place.module) == shape)


@torch.inference_mode()
def lesion_accuracies(
    model: nn.Module,
    split: Split,
    spec: DataSpec,
    groups: Sequence[Sequence[str]],
    *,
    order: Sequence[str] | None = None,
    probabilities: bool = False,
    batch_size: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Lesion, ...]:
    """Accuracy on the split without each group of blocks, in eval mode; an empty group is the whole network.

    `order` names the blocks in the order in which they run, some perhaps more than once; without it they run as they stand. (Batches of
    50 stay in a CPU's cache: 0.43 s for ResNet-20 on 500 MNIST images against 0.63 s in batches of 250, on one core.)
    Groups share the way up to the first block in which they differ, so a study of single blocks runs half as many blocks as one pass
    per group would. `progress(images done, of all)` is called after each batch and may raise to stop. The model is left as found, but
    is changed meanwhile, as in `lesioned`. Raises UserError for a network without blocks, a block it lacks, an order in which blocks do not
    fit, or no images.
    """
    if not block_places(model) or not isinstance(model, ResNet):
        raise UserError("no_blocks", name=name_of(model))
    places = block_places(model) if order is None else _ordered(model, order)
    if len(split) == 0:
        raise UserError("out_of_range", field="count", value=0, range="at least 1")
    off = [frozenset(find_block(model, name, model_name=name_of(model)).name for name in group) for group in groups]
    device = next(model.parameters()).device
    logits: dict[frozenset[str], list[Tensor]] = {group: [] for group in off}
    with untouched(model):
        for start in range(0, len(split), batch_size):
            images = normalize(split.images[start : start + batch_size].to(device), spec)
            for group, part in _walk(model, places, images, tuple(logits)):
                logits[group].append(part)
            if progress is not None:
                progress(min(start + batch_size, len(split)), len(split))
    labels = split.labels.to(device)
    return tuple(_lesion(tuple(names), torch.cat(logits[group]), labels, probabilities) for names, group in zip(groups, off, strict=True))


@dataclass(frozen=True)
class _Fork:
    """Groups that have not differed before this block, and the activation x (B, C, H, W) that they share."""

    x: Tensor
    index: int
    groups: tuple[frozenset[str], ...]


def _ordered(model: nn.Module, order: Sequence[str]) -> tuple[BlockPlace, ...]:
    """The blocks by these names; each must take the channels that the one before it gives, and the last give what the head takes."""
    own, places = block_places(model), tuple(find_block(model, name, model_name=name_of(model)) for name in order)
    gives = _shape(own[0].module)[0]
    before = "stem"
    for place in places:
        takes, out, _ = _shape(place.module)
        if takes != gives:
            raise UserError("blocks_do_not_fit", name=place.name, takes=takes, before=before, gives=gives)
        gives, before = out, place.name
    if gives != (takes := _shape(own[-1].module)[1]):
        raise UserError("blocks_do_not_fit", name="head", takes=takes, before=before, gives=gives)
    return places


def _walk(
    model: ResNet, places: Sequence[BlockPlace], images: Tensor, groups: tuple[frozenset[str], ...]
) -> Iterator[tuple[frozenset[str], Tensor]]:
    """(group, its logits (B, K)) for each; few activations wait at a time, since a lesioned way is followed to its end first."""
    waiting = [_Fork(cast(Tensor, model.stem(images)), 0, groups)]
    while waiting:
        fork = waiting.pop()
        if fork.index == len(places):
            yield fork.groups[0], model.head(fork.x).float()
            continue
        waiting.extend(_branches(places[fork.index], fork))


def _branches(place: BlockPlace, fork: _Fork) -> Iterator[_Fork]:
    kept = tuple(group for group in fork.groups if place.name not in group)
    lost = tuple(group for group in fork.groups if place.name in group)
    if kept:
        yield _Fork(place.module(fork.x), fork.index + 1, kept)
    if lost:
        with _off(place.module):
            yield _Fork(place.module(fork.x), fork.index + 1, lost)


def _lesion(blocks: tuple[str, ...], logits: Tensor, labels: Tensor, probabilities: bool) -> Lesion:
    right = logits.argmax(1) == labels
    classes = logits.shape[1]
    with np.errstate(invalid="ignore"):
        per_class = np.divide(*(torch.bincount(found, minlength=classes).cpu().numpy() for found in (labels[right], labels)))
    return Lesion(
        blocks=blocks,
        accuracy=int(right.sum()) / len(labels),
        per_class=tuple(float(value) for value in per_class),
        probabilities=logits.softmax(1).cpu().numpy() if probabilities else None,
    )
