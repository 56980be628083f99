"""A gradient as a sum over paths, and what paths of each length add to it (Veit et al. 2016, arXiv:1605.06431).

After one complete forward pass every block hands a gradient back through F alone or through its shortcut alone, behind the ReLU that
both share. The 2^n ways to choose are the paths of n blocks; their gradients add up to the whole one, ReLUs and BatchNorms included. The
length of a path is the number of F on it.
"""

import contextlib
import copy
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnet_core.errors import UserError
from resnet_core.inspection.recording import hooked, untouched
from resnet_core.models import BlockPlace, block_places, name_of
from resnet_core.randomness import drawing_from

ENUMERATED = 10  # up to so many blocks, all paths are followed
SHORT_PATHS_FROM = 15  # blocks; with fewer, half of all paths are so short that it hardly shows which lengths carry the gradient


@dataclass(frozen=True, kw_only=True)
class PathLength:
    """Paths through `length` residual branches: how many there are, and how many of them were `followed`.

    `norm` is the mean L2 norm of one path's gradient at the first block's input, `spread` its standard deviation over the paths followed,
    `share` = paths * norm in proportion to all lengths (Veit's estimate). `sum_norm` is the norm of the sum of all these paths' gradients,
    whether followed one by one or not; `part` is that sum's part of the whole gradient, <sum, whole> / |whole|^2: parts add up to 1.
    """

    length: int
    paths: int
    followed: int
    norm: float
    spread: float
    share: float
    sum_norm: float
    part: float


@dataclass(frozen=True, kw_only=True)
class PathReport:
    """`norm` of the whole gradient at the first block's input; `error` = |sum over all paths - whole| / |whole|; `complete` where every
    path was followed; `factor`: by how much one more F on a path multiplies the norm of its gradient (a line through the logarithms)."""

    blocks: int
    paths: int
    images: int
    mode: str
    complete: bool
    norm: float
    error: float
    factor: float
    lengths: tuple[PathLength, ...]

    @property
    def mean_length(self) -> float:
        """Of the paths weighted by what they add to the gradient; counted alone, it is half of the blocks."""
        return sum(line.length * line.part for line in self.lengths)


def measure_paths(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    samples: int = 4,
    seed: int = 0,
    training: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PathReport:
    """Path gradients of the mean cross-entropy over normalised images (N, C, H, W), labels (N,); the model is left as found.

    With up to ENUMERATED blocks every path is followed, in float64 (on a copy); with more, `samples` paths of each length drawn by `seed`,
    while the sums by length stay exact. `progress(done, of all)` counts passes through one F, as in `path_passes`; it may raise to stop.
    Raises UserError for a network without blocks or without shortcuts, or for no images.
    """
    places = block_places(model)
    if not places:
        raise UserError("no_blocks", name=name_of(model))
    if any(place.module.shortcut is None for place in places):
        raise UserError("no_shortcuts", name=name_of(model))
    if len(images) == 0:
        raise UserError("out_of_range", field="count", value=0, range="at least 1")
    device = next(model.parameters()).device
    complete = len(places) <= ENUMERATED
    if complete and device.type != "mps":  # which knows no float64
        model, images = copy.deepcopy(model).double(), images.double()
    choices = _choices(len(places), samples, seed)
    ticker = _Ticker(progress, path_passes(len(places), samples=samples, seed=seed))
    same_drops = drawing_from(seed) if training else contextlib.nullcontext()
    with same_drops, untouched(model, training=training), torch.enable_grad():
        graph = _Graph(model, images.detach().to(device, copy=True), labels.to(device), ticker)
        followed = _Followed(len(places))
        for choice, gradient in graph.follow(choices):
            followed.see(choice.bit_count(), gradient, keep=complete)
        sums = followed.sums if complete else graph.sums_by_length()
        whole = graph.whole()
    return _report(followed, sums, whole, images=len(images), training=training, complete=complete)


def path_passes(blocks: int, *, samples: int = 4, seed: int = 0) -> int:
    """How many passes through one F `measure_paths` takes: what it costs, in units of a block's backward pass."""
    shared = {(place, choice >> place) for choice in _choices(blocks, samples, seed) for place in range(blocks) if choice >> place & 1}
    return len(shared) + (0 if blocks <= ENUMERATED else blocks * (blocks + 1) // 2)


def _choices(blocks: int, samples: int, seed: int) -> tuple[int, ...]:
    """Paths as numbers whose bit i says that block i is passed through F; in each length all, or `samples` different ones."""
    if blocks <= ENUMERATED:
        return tuple(range(2**blocks))
    chance, chosen = random.Random(seed), []
    for length in range(blocks + 1):
        if math.comb(blocks, length) <= samples:
            chosen += [_as_bits(places) for places in itertools.combinations(range(blocks), length)]
            continue
        found: set[int] = set()
        while len(found) < samples:
            found.add(_as_bits(chance.sample(range(blocks), length)))
        chosen += sorted(found)
    return tuple(chosen)


def _as_bits(places: Iterable[int]) -> int:
    return sum(1 << place for place in places)


class _Ticker:
    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def tick(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(kw_only=True)
class _Fork:
    """The tensors of one block in the graph of one forward pass: x, F, s, z = F + s and y."""

    place: BlockPlace
    tensors: dict[str, Tensor]

    def back(self, part: str, gradient: Tensor) -> Tensor:
        """From the gradient at z through `residual` or `shortcut` alone to the gradient at x."""
        if not self.tensors[part].requires_grad:  # it does not depend on x, as in a branch that was switched off
            return torch.zeros_like(self.tensors["x"])
        found: Tensor = torch.autograd.grad(self.tensors[part], self.tensors["x"], gradient, retain_graph=True)[0]
        return found

    def behind_relu(self, gradient: Tensor) -> Tensor:
        """From the gradient at y to the one at z, as its ReLU lets it through."""
        found: Tensor = torch.autograd.grad(self.tensors["y"], self.tensors["z"], gradient, retain_graph=True)[0]
        return found


class _Graph:
    """One complete forward pass of the network itself, whose graph is then walked backwards again and again, part by part."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, ticker: _Ticker) -> None:
        self.forks = [_Fork(place=place, tensors={}) for place in block_places(model)]
        self.ticker = ticker
        with hooked(self._hooks(), self._see):
            logits = model(images.requires_grad_())  # the images ask for gradients, so that frozen networks have a graph as well
        self.loss = nn.functional.cross_entropy(logits.to(images.dtype), labels)
        self.first, self.last = self.forks[0].tensors["x"], self.forks[-1].tensors["y"]

    def _hooks(self) -> dict[str, nn.Module]:
        hooks: dict[str, nn.Module] = {}
        for index, fork in enumerate(self.forks):
            module = fork.place.module
            for part, at in (("residual", module.drop), ("shortcut", module.shortcut), ("z", module.add), ("y", module)):
                if at is not None:
                    hooks[f"{index} {part}"] = at
        return hooks

    def _see(self, name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        index, part = name.split(" ")
        tensors = self.forks[int(index)].tensors
        tensors[part] = output
        if part == "y":
            tensors["x"] = inputs[0]

    def whole(self) -> Tensor:
        gradient: Tensor = torch.autograd.grad(self.loss, self.first, retain_graph=True)[0]
        return gradient

    def _at_end(self) -> Tensor:
        gradient: Tensor = torch.autograd.grad(self.loss, self.last, retain_graph=True)[0]
        return gradient

    def follow(self, choices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """(path, its gradient at the first block's input) for each. Paths go together from the end until they part, and each is
        followed to its own end first, so that few gradients wait."""
        waiting = [(len(self.forks), self._at_end(), tuple(choices))]
        while waiting:
            above, gradient, paths = waiting.pop()
            if above == 0:
                yield paths[0], gradient
                continue
            place, fork = above - 1, self.forks[above - 1]
            at_add = fork.behind_relu(gradient)
            if short := tuple(path for path in paths if not path >> place & 1):
                waiting.append((place, fork.back("shortcut", at_add), short))
            if long := tuple(path for path in paths if path >> place & 1):
                waiting.append((place, fork.back("residual", at_add), long))
                self.ticker.tick()

    def sums_by_length(self) -> list[Tensor]:
        """Sum of the gradients of all paths of each length 0..n. Every way back is linear, so sums are passed on instead of paths."""
        sums = [self._at_end()]
        for fork in reversed(self.forks):
            longer = [torch.zeros_like(fork.tensors["x"]) for _ in range(len(sums) + 1)]
            for length, gradient in enumerate(sums):
                at_add = fork.behind_relu(gradient)
                longer[length] += fork.back("shortcut", at_add)
                longer[length + 1] += fork.back("residual", at_add)
                self.ticker.tick()
            sums = longer
        return sums


class _Followed:
    """What is kept of the paths that were followed one by one: their norms by length, and their sums where all are."""

    def __init__(self, blocks: int) -> None:
        self.norms: list[list[float]] = [[] for _ in range(blocks + 1)]
        self.sums: list[Tensor] = [torch.zeros(()) for _ in range(blocks + 1)]

    def see(self, length: int, gradient: Tensor, *, keep: bool) -> None:
        self.norms[length].append(float(torch.linalg.vector_norm(gradient)))
        if keep:
            self.sums[length] = self.sums[length].to(gradient) + gradient


def _report(followed: _Followed, sums: list[Tensor], whole: Tensor, *, images: int, training: bool, complete: bool) -> PathReport:
    blocks = len(sums) - 1
    norm = float(torch.linalg.vector_norm(whole))
    means = [sum(norms) / len(norms) for norms in followed.norms]
    weights = [math.comb(blocks, length) * mean for length, mean in enumerate(means)]
    lengths = tuple(
        PathLength(
            length=length,
            paths=math.comb(blocks, length),
            followed=len(norms),
            norm=means[length],
            spread=math.sqrt(sum((value - means[length]) ** 2 for value in norms) / len(norms)),
            share=_ratio(weights[length], sum(weights)),
            sum_norm=float(torch.linalg.vector_norm(sums[length])),
            part=_ratio(float((sums[length] * whole).sum()), norm**2),
        )
        for length, norms in enumerate(followed.norms)
    )
    return PathReport(
        blocks=blocks,
        paths=2**blocks,
        images=images,
        mode="train" if training else "eval",
        complete=complete,
        norm=norm,
        error=_ratio(float(torch.linalg.vector_norm(torch.stack(sums).sum(0) - whole)), norm),
        factor=_factor(means),
        lengths=lengths,
    )


def _factor(means: Sequence[float]) -> float:
    """exp of the slope of log(mean) over length, least squares; 0 where fewer than two lengths have a gradient at all, nan where one is none."""
    if not all(map(math.isfinite, means)):
        return math.nan
    points = [(length, math.log(mean)) for length, mean in enumerate(means) if mean > 0]
    if len(points) < 2:
        return 0.0
    middle = sum(length for length, _ in points) / len(points)
    rise = sum((length - middle) * log for length, log in points)
    return math.exp(rise / sum((length - middle) ** 2 for length, _ in points))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
