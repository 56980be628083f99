"""Gradients before the first step, by depth: what an architecture does to them without any training.

Each network is measured as its first training step would see it: BatchNorm with the statistics of the batch (train mode).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec, Split, normalize
from resnet_core.data.splits import some_images
from resnet_core.inspection.gradients import measure_gradients
from resnet_core.inspection.trend import GradientTrend, gradient_trend, log_ratio
from resnet_core.models import build_model, get_entry
from resnet_core.models.catalog import IMAGENET_STAGES

FAMILIES = ("resnet", "plain")
SEEDS = (0, 1, 2)
DEPTHS = tuple(depth for depth in range(8, 111, 6) if depth not in IMAGENET_STAGES)  # 6n + 2; 50 is another kind of network
LADDER = (8, 14, 20, 32, 44, 56, 80, 110)


@dataclass(frozen=True, kw_only=True)
class UntrainedGradients:
    """One network, one seed. `block_norms`: gradient at each block's input. `weights_log_ratio`: log10 of the weight gradient norms in
    the first block's first convolution and the last block's last one."""

    family: str
    depth: int
    seed: int
    loss: float
    block_norms: tuple[float, ...]
    trend: GradientTrend
    weights_log_ratio: float | None


def untrained_gradients(config: ModelConfig, spec: DataSpec, split: Split, *, count: int = 16, seed: int = 0) -> UntrainedGradients:
    """The network of this config with weights and images drawn by `seed`. Raises depth_not_6n_plus_2 and what a config raises."""
    chosen = split.take(some_images(len(split), count, seed))
    model = build_model(config, spec, seed=seed)
    report = measure_gradients(model, normalize(chosen.images, spec), chosen.labels, training=True)
    norms = tuple(block.input_grad_norm for block in report.blocks)
    weights = [layer.weight_grad_norm for layer in report.layers if layer.part.startswith("stages.")]
    entry = get_entry(config.model)
    return UntrainedGradients(
        family=entry.family,
        depth=entry.depth,
        seed=seed,
        loss=report.loss,
        block_norms=norms,
        trend=gradient_trend(norms),
        weights_log_ratio=log_ratio(weights[0], weights[-1]),
    )


def depths_up_to(depth: int) -> tuple[int, ...]:
    """The depths that a study up to `depth` measures: a ladder of steps that grow, and `depth` itself."""
    return tuple(sorted({rung for rung in LADDER if rung < depth} | {depth}))


def networks_of_study(config: ModelConfig, *, depths: Sequence[int], seeds: Sequence[int] = SEEDS) -> tuple[tuple[ModelConfig, int], ...]:
    """ResNet and plain twin at each depth from each seed, as (config, seed), so that the caller can show each and stop between two.

    `config` gives everything but the network's name.
    """
    return tuple((replace(config, model=f"{family}{depth}"), seed) for depth, seed, family in itertools.product(depths, seeds, FAMILIES))


def noise_like(split: Split, spec: DataSpec, *, count: int = 256, seed: int = 0) -> Split:
    """White noise in the place of images, with the split's own labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (min(count, len(split)), spec.channels, spec.height, spec.width), generator=generator, dtype=torch.uint8)
    return Split(images=images, labels=split.labels[: len(images)])
