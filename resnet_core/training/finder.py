"""Which learning rate? Some steps with a rate that climbs exponentially: first the loss barely moves, then it falls, then it explodes.

Smith 2017, arXiv:1506.01186, section 3.3. The network is given back as it was, and so are the random numbers to come.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from resnet_core.config import RunConfig
from resnet_core.data import Splits, normalize
from resnet_core.inspection.recording import untouched
from resnet_core.training.batches import changed_batch
from resnet_core.training.device import FORMATS, ComputePlan
from resnet_core.training.evaluate import FLOAT32
from resnet_core.training.freezing import hold_frozen_statistics
from resnet_core.training.streams import epoch_order, steps_per_epoch

RANGES = {"sgd": (1e-5, 10.0), "adam": (1e-7, 1.0), "adamw": (1e-7, 1.0)}  # from too small to too large
STEPS = 100
SMOOTHING = 0.9  # share of what was seen before, in the moving average of the loss
EXPLODED = 4.0  # times the lowest loss so far
FALLEN = 0.01  # of the loss, at least, for a suggestion
NEIGHBOURS = 12  # part of the sweep that lies on each side of a point when its slope is measured
SETTLED = 10  # steps before which the moving average knows too little

Loss = Callable[[Tensor], Tensor]  # logits (B, K) -> the mean loss of the batch
Batches = Callable[[int], tuple[Tensor, Loss]]  # step from 0 -> its images (B, C, H, W), normalised, and their loss


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One step of the sweep: the batch's loss before the update with this rate, and the moving average up to it."""

    step: int
    steps: int
    learning_rate: float
    loss: float
    smoothed: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`suggestion` is where the loss falls steepest, over the logarithm of the rate; None where it never falls."""

    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    exploded: bool


def sweep(
    model: nn.Module,
    batches: Batches,
    optimizer: Callable[[nn.Module], Optimizer],
    *,
    low: float,
    high: float,
    steps: int = STEPS,
    plan: ComputePlan = FLOAT32,
    clip_norm: float | None = None,
    freeze_statistics: bool = True,
) -> Iterator[Tried]:
    """Train with the rate climbing from `low` to `high`, until the loss explodes; also when nobody asks for the rest, all is given back.

    `clip_norm` and `freeze_statistics` as the training has them: a rate that explodes without clipping may be a good one with it.
    """
    with _given_back(model, freeze_statistics):
        updates, network = optimizer(model), plan.rewritten(model)
        device = next(model.parameters()).device
        scaler = torch.amp.GradScaler(device.type, enabled=plan.precision == "float16")
        mean, best = 0.0, math.inf
        for step in range(steps):
            rate = low * (high / low) ** (step / max(steps - 1, 1))
            for group in updates.param_groups:
                group["lr"] = rate
            images, loss_of = batches(step)
            with plan.computing(device):
                logits = network(images.to(memory_format=FORMATS[plan.memory_format]))
            loss = loss_of(logits.float())
            updates.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(updates)
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            scaler.step(updates)
            scaler.update()
            value = float(loss.detach())
            mean = SMOOTHING * mean + (1 - SMOOTHING) * value
            smoothed = mean / (1 - SMOOTHING ** (step + 1))
            if not math.isfinite(smoothed):
                return
            yield Tried(step=step + 1, steps=steps, learning_rate=rate, loss=value, smoothed=smoothed)
            best = min(best, smoothed)
            if step + 1 >= SETTLED and smoothed > EXPLODED * best:
                return


def finding(tried: Sequence[Tried]) -> Finding:
    """What the sweep says."""
    rates, smoothed = np.array([t.learning_rate for t in tried]), np.array([t.smoothed for t in tried])
    losses = np.array([t.loss for t in tried])
    suggestion = None
    lowest = int(smoothed.argmin()) if len(tried) else 0
    if lowest > SETTLED and smoothed[lowest] < (1 - FALLEN) * smoothed[SETTLED : lowest + 1].max():
        steepest = SETTLED + int(np.argmin(_slopes(np.log(rates), losses, SETTLED, lowest)))
        suggestion = float(rates[steepest])
    return Finding(
        learning_rates=tuple(rates.tolist()),
        losses=tuple(losses.tolist()),
        smoothed=tuple(smoothed.tolist()),
        suggestion=suggestion,
        exploded=not tried or tried[-1].step < tried[-1].steps,
    )


def _slopes(x: NDArray[np.float64], y: NDArray[np.float64], first: int, last: int) -> list[float]:
    """Of the straight line through the neighbours of each point from `first` to `last`, none beyond `last`: one batch says too little."""
    reach = max(len(x) // NEIGHBOURS, 3)
    around = [slice(max(place - reach, first), min(place + reach, last) + 1) for place in range(first, last + 1)]
    return [float(np.polyfit(x[near], y[near], 1)[0]) for near in around]


def training_batches(config: RunConfig, splits: Splits) -> Batches:
    """The batches that a training of this config would see, augmented and mixed as there, on the device where the images lie."""
    train, split, spec = config.train, splits.train, splits.spec
    per_epoch, device = steps_per_epoch(len(split), train.batch_size), split.labels.device

    def batch(step: int) -> tuple[Tensor, Loss]:
        epoch, position = divmod(step, per_epoch)
        indices = epoch_order(len(split), train.seed, epoch + 1)[position * train.batch_size : (position + 1) * train.batch_size]
        indices = indices.to(device)
        images, targets = changed_batch(config, spec, split.images[indices], split.labels[indices], step)
        return normalize(images, spec), targets.loss

    return batch


@contextmanager
def _given_back(model: nn.Module, freeze_statistics: bool) -> Iterator[None]:
    """In training mode inside; afterwards weights, buffers, gradients, modes and random numbers are as before."""
    kept = [(parameter, parameter.detach().clone()) for parameter in model.parameters()]
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), untouched(model, training=True):
        if freeze_statistics:
            hold_frozen_statistics(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, before in kept:
                    parameter.copy_(before)
