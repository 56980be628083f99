"""How the answer forms from block to block.

On blocks of the last stage the network's own head is asked (the logit lens: nostalgebraist 2020; Jastrzebski et al. 2018 for residual
networks). Earlier blocks have other channels; there a linear probe is asked (Alain and Bengio 2016, arXiv:1610.01644): ridge regression of
the labels on the block's pooled output, in closed form. Both are approximate readings of what the network only finishes at its end: a head
was trained for the last block alone, and a probe shows what a line can read, not what the network uses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_core.data.spec import DataSpec, Split, normalize
from resnet_core.errors import UserError
from resnet_core.inspection.recording import hooked, untouched
from resnet_core.models import BlockPlace, ResNet, block_places, name_of

LENS, PROBE = "lens", "probe"
PENALTY = 1e-3  # of the ridge, as a share of the features' mean variance
SHARPNESS = np.geomspace(0.5, 128, 49)  # factors from a probe's scores to logits, of which the likeliest on its own images is kept
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Logits (B, K) = features (B, C) @ weight (C, K) + bias (K,); fitted on so many training images."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    images: int


@dataclass(frozen=True, kw_only=True)
class BlockDecision:
    """What can be read behind one block: `method` is `lens` or `probe`, `accuracy` that of its answers over the set."""

    name: str
    stage: int
    block: int
    method: str
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class DecisionReport:
    """`probabilities` (N, blocks, K); `decided` (N,) is the index of the first block from which on the answer stays the final one;
    `right_then_wrong` counts images answered rightly behind some block and wrongly at the end."""

    blocks: tuple[BlockDecision, ...]
    probabilities: NDArray[np.float32]
    decided: NDArray[np.int64]
    labels: NDArray[np.int64]
    right_then_wrong: int

    @property
    def answers(self) -> NDArray[np.int64]:
        """(N, blocks): the class with the highest probability."""
        answers: NDArray[np.int64] = self.probabilities.argmax(2)
        return answers


def ridge(features: NDArray[np.float64], targets: NDArray[np.float64], penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight (C, K) and bias (K,) that minimise |features @ weight + bias - targets|^2 + penalty * |weight|^2; the bias is free."""
    mean, target_mean = features.mean(0), targets.mean(0)
    centred = features - mean
    gram = centred.T @ centred + penalty * np.eye(features.shape[1])
    weight: NDArray[np.float64] = np.linalg.solve(gram, centred.T @ (targets - target_mean))
    return weight, target_mean - mean @ weight


def fit_probe(features: NDArray[np.float64], labels: NDArray[np.int64], classes: int) -> Probe:
    """Ridge regression of one-hot labels, its scores made logits by the factor under which the labels are likeliest."""
    targets = np.eye(classes)[labels]
    scale = float(features.var(0).mean()) * len(features) or 1.0  # features that never change have nothing to say, and no scale
    weight, bias = ridge(features, targets, PENALTY * scale)
    scores = features @ weight + bias
    losses = [float(nn.functional.cross_entropy(torch.from_numpy(scores * factor), torch.from_numpy(labels))) for factor in SHARPNESS]
    best = float(SHARPNESS[int(np.argmin(losses))])
    return Probe(weight=weight * best, bias=bias * best, images=len(features))


def fit_probes(
    model: nn.Module, split: Split, spec: DataSpec, *, batch_size: int = 50, progress: Progress | None = None
) -> dict[str, Probe]:
    """A probe for every block that the head cannot read, by its name, from training images; the model is left as found."""
    places, width = _places(model), _head_width(model)
    read = [place for place in places if _width(place) != width]
    pooled: dict[str, list[Tensor]] = {place.name: [] for place in read}
    _run(model, read, split, spec, lambda name, output: pooled[name].append(output.mean((2, 3)).cpu()), batch_size, progress)
    labels = split.labels.cpu().numpy()
    return {name: fit_probe(torch.cat(parts).double().numpy(), labels, len(spec.classes)) for name, parts in pooled.items()}


def decisions(
    model: nn.Module, split: Split, spec: DataSpec, probes: Mapping[str, Probe], *, batch_size: int = 50, progress: Progress | None = None
) -> DecisionReport:
    """What the head or the probes read behind every block, for every image of the split; the model is left as found."""
    places = _places(model)
    head = cast(ResNet, model).head
    logits: dict[str, list[Tensor]] = {place.name: [] for place in places}

    def see(name: str, output: Tensor) -> None:
        if name in probes:
            probe = probes[name]
            features = output.mean((2, 3)).double().cpu()
            logits[name].append(features @ torch.from_numpy(probe.weight) + torch.from_numpy(probe.bias))
        else:
            logits[name].append(head(output).double().cpu())

    _run(model, places, split, spec, see, batch_size, progress)
    read = torch.stack([torch.cat(parts) for parts in logits.values()], dim=1).softmax(2)  # (N, blocks, K)
    if not bool(read.isfinite().all()):
        raise UserError("answers_not_finite", name=name_of(model))
    return _report(places, read.float().numpy(), split.labels.cpu().numpy(), probes)


def _report(
    places: Sequence[BlockPlace], probabilities: NDArray[np.float32], labels: NDArray[np.int64], probes: Mapping[str, Probe]
) -> DecisionReport:
    answers = probabilities.argmax(2)
    right = answers == labels[:, None]
    blocks = tuple(
        BlockDecision(
            name=place.name,
            stage=place.stage,
            block=place.block,
            method=PROBE if place.name in probes else LENS,
            accuracy=float(right[:, number].mean()),
        )
        for number, place in enumerate(places)
    )
    return DecisionReport(
        blocks=blocks,
        probabilities=probabilities,
        decided=decided_at(answers),
        labels=labels,
        right_then_wrong=int((right[:, :-1].any(1) & ~right[:, -1]).sum()),
    )


def decided_at(answers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, blocks) -> (N,): the index of the first block from which on the answer equals the last one."""
    other = answers != answers[:, -1:]
    last_other = np.where(other.any(1), answers.shape[1] - 1 - other[:, ::-1].argmax(1), -1)
    return last_other + 1


def _places(model: nn.Module) -> tuple[BlockPlace, ...]:
    places = block_places(model)
    if not places or not isinstance(model, ResNet):
        raise UserError("no_blocks", name=name_of(model))
    return places


def _width(place: BlockPlace) -> int:
    """Channels that the block gives."""
    return [module for module in place.module.residual if isinstance(module, nn.Conv2d)][-1].out_channels


def _head_width(model: nn.Module) -> int:
    return _width(_places(model)[-1])


@torch.inference_mode()
def _run(
    model: nn.Module,
    places: Sequence[BlockPlace],
    split: Split,
    spec: DataSpec,
    see: Callable[[str, Tensor], None],
    batch_size: int,
    progress: Progress | None,
) -> None:
    """Show the output (B, C, H, W) of these blocks for every batch."""
    if len(split) == 0:
        raise UserError("out_of_range", field="count", value=0, range="at least 1")
    device = next(model.parameters()).device
    with untouched(model), hooked({place.name: place.module for place in places}, lambda name, inputs, output: see(name, output)):
        for start in range(0, len(split), batch_size):
            model(normalize(split.images[start : start + batch_size].to(device), spec))
            if progress is not None:
                progress(min(start + batch_size, len(split)), len(split))
