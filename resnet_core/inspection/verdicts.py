"""What the measurements add up to, in words: which block is silent, dead, cut off or idle, and what to do next.

Never from one number alone: each finding needs two that agree, the same network before training as a yardstick where there is one, and
what accuracy loses without the block. Thresholds stand here by name, so that whoever reads a finding can see how close it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from resnet_core.data.spec import DataSpec, Split, normalize
from resnet_core.data.splits import spread
from resnet_core.inspection.lesions import Lesion, each_block, lesion_accuracies
from resnet_core.inspection.recording import hooked, untouched
from resnet_core.inspection.residual import TINY, BlockStatistics, residual_statistics
from resnet_core.inspection.settling import settle_norms
from resnet_core.models import BlockPlace, block_places
from resnet_core.models.blocks import Scale

SILENT = 1e-3  # |F| / |x| below this: the branch adds nothing
SMALL_GAMMA = 1e-3  # the largest |gamma| of the branch's last norm
CONSTANT = 0.02  # share of |F| that differs between images
DEAD = 0.5  # share of channels that are 0 on every image
IDLE = 0.25  # of the ratio before training
FREE = 0.005  # accuracy that may be lost without counting as a cost
CUT = 1e-3  # |shortcut| / |x| below this: nothing comes through
DEAR = 0.5  # of what the network knows above chance
NEAR_CHANCE = 0.05  # accuracy above guessing
ONE_ANSWER = 0.9  # share of images that get the same answer
MEASURED = 256  # images for the statistics of blocks


@dataclass(frozen=True, kw_only=True)
class BlockEvidence:
    """What is known of one block. `initial_` is the same before training. Shares are of channels that are 0 on every image: `dead_share`
    after the last ReLU, `inner_dead_share` of the ReLUs inside the branch. `variation` is the part of |F| that differs between images,
    `gamma` the largest of the branch's last norm, `shortcut_share` = |shortcut| / |x|, `drop` the accuracy lost without this block."""

    name: str
    ratio: float | None
    initial_ratio: float | None
    residual_norm: float
    variation: float
    dead_share: float | None
    initial_dead_share: float | None
    inner_dead_share: float
    initial_inner_dead_share: float
    gamma: float | None
    shortcut_share: float | None
    drop: float


@dataclass(frozen=True, kw_only=True)
class NetworkEvidence:
    """Of the network as a whole; `one_answer` is the share of images that get its most frequent answer."""

    accuracy: float
    chance: float
    one_answer: float
    images: int
    trained: bool
    blocks: tuple[BlockEvidence, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`code` is one of FINDINGS; `block` None speaks of the whole network; `evidence` holds the numbers and thresholds it rests on."""

    code: str
    block: str | None
    evidence: Mapping[str, float]


# code -> how grave it is: a fault, something to know, or all well
FINDINGS = {
    "untrained": "notice",
    "collapsed": "fault",
    "plain": "notice",
    "cut": "fault",
    "gamma": "fault",
    "silent": "fault",
    "constant": "fault",
    "dead": "fault",
    "idle": "notice",
    "healthy": "good",
}


def examine(
    model: nn.Module,
    initial: nn.Module,
    split: Split,
    spec: DataSpec,
    *,
    trained: bool = True,
    drawn: bool = True,
    lesions: Sequence[Lesion] | None = None,
) -> NetworkEvidence:
    """Everything that `judge` weighs, on the images of a split; `lesions` are those of `each_block` with probabilities, where they were
    measured already. Both networks are left as found, but for the running norms of what is not `trained`, and of an `initial` that was
    `drawn`: they are set by these images."""
    lesions = lesions or lesion_accuracies(model, split, spec, each_block(model), probabilities=True)
    whole, *alone = lesions
    inputs = normalize(split.images[spread(len(split), MEASURED)], spec)
    if not trained:
        settle_norms(model, inputs)
    if drawn:
        settle_norms(initial, inputs)
    now, before = _measured(model, inputs), _measured(initial, inputs)
    blocks = tuple(
        _evidence(place, now[place.name], before[place.name], whole.accuracy - lesion.accuracy)
        for place, lesion in zip(block_places(model), alone, strict=True)
    )
    assert whole.probabilities is not None
    answers = np.bincount(np.nan_to_num(whole.probabilities).argmax(1))
    return NetworkEvidence(
        accuracy=whole.accuracy,
        chance=1 / len(spec.classes),
        one_answer=float(answers.max() / answers.sum()),
        images=len(split),
        trained=trained,
        blocks=blocks,
    )


def judge(network: NetworkEvidence) -> tuple[Finding, ...]:
    """The findings, gravest first; exactly one `healthy` where there are none."""
    if not network.trained:
        return (Finding(code="untrained", block=None, evidence={"accuracy": network.accuracy, "chance": network.chance}),)
    found = [*_of_the_network(network), *(finding for block in network.blocks if (finding := _of_a_block(block, network)))]
    if not found:
        return (Finding(code="healthy", block=None, evidence={"blocks": len(network.blocks), "images": network.images}),)
    order = list(FINDINGS)
    return tuple(sorted(found, key=lambda finding: order.index(finding.code)))


def _of_the_network(network: NetworkEvidence) -> list[Finding]:
    found = []
    if is_collapsed(network):
        said = {"accuracy": network.accuracy, "chance": network.chance, "one_answer": network.one_answer, "threshold": ONE_ANSWER}
        found.append(Finding(code="collapsed", block=None, evidence=said))
    learned = network.accuracy - network.chance
    dear = sum(block.drop >= DEAR * learned for block in network.blocks)
    is_plain = all(block.shortcut_share is None for block in network.blocks)
    if is_plain and learned > NEAR_CHANCE and not found and dear > len(network.blocks) / 2:  # who guesses has nothing to lose
        said = {"dear": dear, "blocks": len(network.blocks), "threshold": DEAR * learned}
        found.append(Finding(code="plain", block=None, evidence=said))
    return found


def is_collapsed(network: NetworkEvidence) -> bool:
    """It guesses, and always the same."""
    return network.accuracy <= network.chance + NEAR_CHANCE and network.one_answer >= ONE_ANSWER


def _of_a_block(block: BlockEvidence, network: NetworkEvidence) -> Finding | None:
    """The gravest of a block: what explains the others comes first."""
    free = block.drop <= FREE and not is_collapsed(network)
    has_others = any(other.shortcut_share is not None for other in network.blocks)
    said: dict[str, float] = {"drop": block.drop, "images": network.images}
    missing = has_others and block.shortcut_share is None
    closed = block.shortcut_share is not None and block.shortcut_share < CUT and not free
    if missing or closed:
        return Finding(code="cut", block=block.name, evidence={**said, "shortcut_share": block.shortcut_share or 0.0, "threshold": CUT})
    if _adds_nothing(block) and block.gamma is not None and block.gamma < SMALL_GAMMA:
        return Finding(code="gamma", block=block.name, evidence={**said, "gamma": block.gamma, "threshold": SMALL_GAMMA})
    if _adds_nothing(block) and (free or is_collapsed(network)):
        silent = {"residual_norm": block.residual_norm, "ratio": block.ratio or 0.0, "threshold": SILENT}
        return Finding(code="silent", block=block.name, evidence={**said, **silent})
    if block.inner_dead_share >= DEAD and block.inner_dead_share >= 2 * block.initial_inner_dead_share and block.variation < CONSTANT:
        constant = {"inner_dead_share": block.inner_dead_share, "variation": block.variation, "threshold": CONSTANT}
        return Finding(
            code="constant", block=block.name, evidence={**said, **constant, "initial_inner_dead_share": block.initial_inner_dead_share}
        )
    if block.dead_share is not None and block.dead_share >= DEAD and block.dead_share >= 2 * (block.initial_dead_share or 0.0):
        dead = {"dead_share": block.dead_share, "initial_dead_share": block.initial_dead_share or 0.0, "threshold": DEAD}
        return Finding(code="dead", block=block.name, evidence={**said, **dead})
    if free and block.ratio is not None and block.initial_ratio and block.ratio < IDLE * block.initial_ratio:
        idle = {"ratio": block.ratio, "initial_ratio": block.initial_ratio, "threshold": IDLE * block.initial_ratio}
        return Finding(code="idle", block=block.name, evidence={**said, **idle})
    return None


def _adds_nothing(block: BlockEvidence) -> bool:
    return block.ratio < SILENT if block.ratio is not None else block.residual_norm < TINY


# -- measuring --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Measured:
    statistics: BlockStatistics
    variation: float
    inner_dead_share: float
    shortcut_share: float | None


def _evidence(place: BlockPlace, now: _Measured, before: _Measured, drop: float) -> BlockEvidence:
    return BlockEvidence(
        name=place.name,
        ratio=now.statistics.ratio,
        initial_ratio=before.statistics.ratio,
        residual_norm=now.statistics.residual_norm,
        variation=now.variation,
        dead_share=now.statistics.dead_share,
        initial_dead_share=before.statistics.dead_share,
        inner_dead_share=now.inner_dead_share,
        initial_inner_dead_share=before.inner_dead_share,
        gamma=_last_gamma(place),
        shortcut_share=now.shortcut_share,
        drop=drop,
    )


def _last_gamma(place: BlockPlace) -> float | None:
    """The largest |gamma| of the norm that ends the branch; None where it ends with a convolution (v2, or no norm)."""
    *_, last = (module for module in place.module.residual if not isinstance(module, nn.Identity | Scale))
    weight = getattr(last, "weight", None)
    return float(weight.detach().abs().max()) if isinstance(weight, Tensor) and weight.ndim == 1 else None


@torch.inference_mode()
def _measured(model: nn.Module, inputs: Tensor) -> dict[str, _Measured]:
    """Statistics, and what they leave out: dead ReLUs inside the branch, whether F differs between images, what the shortcut lets through."""
    watched: dict[str, nn.Module] = {}
    for place in block_places(model):
        inner = [module for module in place.module.residual if isinstance(module, nn.ReLU)]
        watched |= {f"{place.name} relu {number}": module for number, module in enumerate(inner)}
        watched |= {f"{place.name} residual": place.module.residual}
        if place.module.shortcut is not None:
            watched |= {f"{place.name} shortcut": place.module.shortcut}
    seen: dict[str, list[Tensor]] = {name: [] for name in watched}

    def see(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        part = name.split(" ")[1]
        if part == "relu":
            seen[name].append(output.sum((0, 2, 3)))  # (C,)
        elif part == "residual":
            seen[name].append(torch.stack([output.sum(0), output.square().sum(0)]))  # (2, C, H, W), sums over images
        else:
            seen[name].append(torch.stack([torch.linalg.vector_norm(x) ** 2 for x in (output, inputs[0])]))  # (2,)

    device = next(model.parameters()).device
    with untouched(model), hooked(watched, see):
        for batch in inputs.split(64):
            model(batch.to(device))
    sums = {name: torch.stack(parts).double().sum(0).cpu() for name, parts in seen.items()}
    return {
        found.name: _Measured(
            statistics=found,
            variation=_variation(sums[f"{found.name} residual"], len(inputs)),
            inner_dead_share=_dead([value for name, value in sums.items() if name.startswith(f"{found.name} relu")]),
            shortcut_share=_root_share(sums.get(f"{found.name} shortcut")),
        )
        for found in residual_statistics(model, inputs)
    }


def _variation(sums: Tensor, count: int) -> float:
    """sqrt(sum of variances over images / sum of squares) of F."""
    mean, square = sums[0] / count, sums[1] / count
    whole = float(square.sum())
    return float((square - mean.square()).clamp_min(0).sum() / whole) ** 0.5 if whole > TINY else 0.0


def _dead(sums: Sequence[Tensor]) -> float:
    """The largest share of any ReLU's channels that never left 0; 0 without a ReLU."""
    return max((float((active == 0).double().mean()) for active in sums), default=0.0)


def _root_share(squares: Tensor | None) -> float | None:
    if squares is None:
        return None
    return float(squares[0] / squares[1]) ** 0.5 if float(squares[1]) > 0 else 0.0
