"""What networks make of many images: how alike their blocks are (CKA), and where their last features lie (PCA, t-SNE).

Linear CKA: Kornblith et al. 2019, arXiv:1905.00414. Unbiased, and over minibatches: Nguyen et al. 2021, arXiv:2010.15327, with the
estimator of HSIC by Song et al. 2012.
"""

import io
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_core.errors import UserError
from resnet_core.inspection.recording import hooked, untouched
from resnet_core.models import block_places
from resnet_core.runs.process import PROJECT

CKA_BATCH = 128
LEAST = 4  # images in a batch: the unbiased estimator divides by n - 3
FEATURE_BATCH = 100
MOST_PLACES = 40  # rows of a map of which each can still be met with a pointer
NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
ROW = 4  # blocks in a row, from which on what holds them is opened

Progress = Callable[[int, int], None]


def feature_places(model: nn.Module) -> dict[str, nn.Module]:
    """Blocks in the order of the forward pass; of a network without blocks its modules with weights, norms left out, the rows of layers
    and of blocks among them member by member as far as `MOST_PLACES` allows.
    """
    blocks: dict[str, nn.Module] = {place.name: place.module for place in block_places(model)}
    if blocks:
        return blocks
    places = _places_in(model) or dict(model.named_children())
    waiting = list(places)
    while waiting:
        name = waiting.pop(0)
        members = _places_in(places[name], f"{name}.") if _is_row(places[name], top="." not in name) else {}
        says_more = len(members) > 1 or any(isinstance(member, nn.Sequential | nn.ModuleList) for member in members.values())
        never_runs = isinstance(places[name], nn.ModuleList)
        if (says_more and len(places) - 1 + len(members) <= MOST_PLACES) or (members and never_runs):
            places = {key: module for old, kept in places.items() for key, module in (members if old == name else {old: kept}).items()}
            waiting += members
    return places


def _places_in(module: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    return {
        f"{prefix}{name}": child
        for name, child in module.named_children()
        if next(child.parameters(), None) is not None and not isinstance(child, NORMS)
    }


def _is_row(module: nn.Module, *, top: bool) -> bool:
    """Whether its members say more than it does: a row of layers at the top (VGG's `features`) or what holds such a row there (a
    transformer's encoder), further in a row of equal blocks."""
    if isinstance(module, nn.ModuleList):
        return True
    if isinstance(module, nn.Sequential):
        return top or len({type(member) for member in module}) == 1
    return top and any(isinstance(child, nn.Sequential | nn.ModuleList) and len(child) >= ROW for child in module.children())


def unbiased_hsic(first: Tensor, second: Tensor) -> Tensor:
    """Gram matrices (P, n, n) and (Q, n, n) -> the unbiased HSIC of every pair (P, Q) (Song et al. 2012, equation 5)."""
    n = first.shape[-1]
    k, m = (_without_diagonal(gram) for gram in (first, second))
    trace = k.flatten(1) @ m.flatten(1).T  # tr(K M), both symmetric
    sums = k.sum((1, 2))[:, None] * m.sum((1, 2))[None, :]
    crossed = k.sum(2) @ m.sum(2).T  # 1' K M 1
    return (trace + sums / ((n - 1) * (n - 2)) - 2 * crossed / (n - 2)) / (n * (n - 3))


def _without_diagonal(grams: Tensor) -> Tensor:
    return grams - torch.diag_embed(grams.diagonal(dim1=-2, dim2=-1))


@dataclass(frozen=True, kw_only=True)
class CkaMap:
    """`values` (P, Q): 1 where two places see the images alike up to rotation and scale, about 0 where they have nothing in common.

    nan where a place gives the same for all images.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    values: NDArray[np.float64]
    count: int
    batch_size: int


class CkaSums:
    """HSIC between all places of two networks, summed over minibatches of n >= 4 images."""

    def __init__(self) -> None:
        self._between: Tensor | float = 0.0
        self._first: Tensor | float = 0.0
        self._second: Tensor | float = 0.0

    def add(self, first: Tensor, second: Tensor) -> None:
        """Gram matrices (P, n, n) and (Q, n, n) of one minibatch."""
        first, second = first.double(), second.double()
        self._between = self._between + unbiased_hsic(first, second)
        self._first = self._first + torch.stack([unbiased_hsic(g[None], g[None])[0, 0] for g in first])
        self._second = self._second + torch.stack([unbiased_hsic(g[None], g[None])[0, 0] for g in second])

    def result(self) -> NDArray[np.float64]:
        """(P, Q)."""
        between, first, second = (torch.as_tensor(part) for part in (self._between, self._first, self._second))
        scale = (first[:, None] * second[None, :]).clamp_min(0).sqrt()
        return torch.where(scale > 0, between / scale, torch.nan).numpy()


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Of two sets of features (n, p) and (n, q) of the same images, unbiased, all n at once."""
    sums = CkaSums()
    sums.add(_gram(x.double())[None], _gram(y.double())[None])
    return float(sums.result()[0, 0])


def _gram(features: Tensor) -> Tensor:
    """(n, ...) -> (n, n). Centred first, which changes nothing but the rounding: HSIC does not see the mean."""
    flat = features.flatten(1)
    flat = flat - flat.mean(0)
    return flat @ flat.T


def cka_map(
    a: nn.Module, b: nn.Module, inputs: tuple[Tensor, Tensor], *, batch_size: int = CKA_BATCH, progress: Progress | None = None
) -> CkaMap:
    """Between all blocks of A and all of B for the same images, normalised and at each network's size, (N, C, H, W) each.

    Only the Gram matrices of one minibatch are held. The last minibatch is left out when it is not full, unless it is the only one.
    """
    count = len(inputs[0])
    batch_size = min(batch_size, count)
    if batch_size < LEAST:
        raise UserError("too_few_for_cka", count=count, need=LEAST)
    places, sums = (feature_places(a), feature_places(b)), CkaSums()
    batches = count // batch_size
    for number in range(batches):
        chosen = slice(number * batch_size, (number + 1) * batch_size)
        grams = [_grams(model, images[chosen], place) for model, images, place in zip((a, b), inputs, places, strict=True)]
        sums.add(grams[0], grams[1])
        if progress is not None:
            progress(number + 1, batches)
    return CkaMap(a=tuple(places[0]), b=tuple(places[1]), values=sums.result(), count=batches * batch_size, batch_size=batch_size)


def _grams(model: nn.Module, images: Tensor, places: Mapping[str, nn.Module]) -> Tensor:
    """(P, n, n) of the outputs of these places."""
    found: dict[str, Tensor] = {}
    with untouched(model), torch.no_grad(), hooked(places, lambda name, inputs, output: found.__setitem__(name, _gram(output.float()))):
        model(images)
    return torch.stack([found[name] for name in places])


# -- the last features ------------------------------------------------------------------------------------------------------------


def penultimate_features(model: nn.Module, inputs: Tensor, *, batch_size: int = FEATURE_BATCH) -> NDArray[np.float32]:
    """What the last linear layer gets: images (N, C, H, W) -> (N, D)."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    parts: list[Tensor] = []
    with untouched(model), torch.no_grad(), hooked({"last": last}, lambda name, seen, output: parts.append(seen[0].flatten(1).cpu())):
        for batch in inputs.split(batch_size):
            model(batch)
    return torch.cat(parts).float().numpy()


@dataclass(frozen=True, kw_only=True)
class Projection:
    """`points` (N, 2); `explained` is the share of the variance along each axis, empty for t-SNE, whose axes mean nothing."""

    points: NDArray[np.float64]
    explained: tuple[float, ...] = ()


def principal_components(features: NDArray[np.floating]) -> Projection:
    """The two directions along which the features (N, D) vary most; the largest part of each direction points upwards."""
    centred = features.astype(np.float64) - features.mean(0)
    u, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    largest = directions[np.arange(len(directions)), np.abs(directions).argmax(1)]
    points = (u * sizes * np.where(largest < 0, -1, 1))[:, :2]
    total = float((sizes**2).sum())
    return Projection(points=points, explained=tuple(float(s**2 / total) if total else 0.0 for s in sizes[:2]))


def tsne(features: NDArray[np.floating], *, progress: Progress | None = None, seed: int = 0) -> Projection:
    """Neighbours stay neighbours (van der Maaten and Hinton 2008), by scikit-learn, in a process of its own: its memory goes with it.

    `progress` is told the seconds so far; an exception that it raises ends the process.
    """
    script = "import sys; from resnet_core.comparison.neighbours import embed; embed(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]))"
    sent = io.BytesIO()
    np.save(sent, features.astype(np.float32))
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT
    )
    start = time.monotonic()
    waiting: bytes | None = sent.getvalue()
    try:
        while True:
            try:
                out, log = process.communicate(waiting, timeout=0.3)
                break
            except subprocess.TimeoutExpired:
                waiting = None
                if progress is not None:
                    _tell(progress, time.monotonic() - start, math.ceil(tsne_seconds(len(features))))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()  # closes its pipes
    if process.returncode:
        raise RuntimeError(log.decode(errors="replace"))
    return Projection(points=np.load(io.BytesIO(out)))


def _tell(progress: Progress, seconds: float, expected: int) -> None:
    """Not all of it before it is there, however long it takes."""
    progress(min(round(seconds), expected - 1), expected)


def tsne_seconds(count: int) -> float:
    """About what `tsne` takes on two cores: 3 s of start-up, and 5 s for 1,000 images."""
    return 3 + count / 200
