"""Optimizers and learning-rate schedules by name, counted in steps, so that a schedule can be drawn before the start."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from resnet_core.config import TrainConfig
from resnet_core.training.device import updates_at_once

Schedule = LRScheduler | ReduceLROnPlateau


def make_optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    """The optimizer over all parameters; with `decay_all` off, norms and biases (one-dimensional) are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": config.weight_decay if config.decay_all else 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = updates_at_once(next(model.parameters()).device)  # not for SGD: there it fails on a part that was frozen or dropped before
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, fused=fused)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.nesterov and config.momentum > 0)


def make_schedule(config: TrainConfig, optimizer: Optimizer, steps_per_epoch: int, total_steps: int) -> list[Schedule]:
    """What is stepped after every update; a ReduceLROnPlateau, if any, is last and is stepped after every validation instead.

    OneCycle is its own warm-up: `warmup_epochs` moves its highest point, which is otherwise at 30% of the training.
    """
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total_steps - 1)
    if config.schedule == "onecycle":
        rise = warmup / total_steps if warmup else 0.3
        return [lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=total_steps + 1, pct_start=rise, cycle_momentum=False)]
    before: list[Schedule] = []
    if warmup:
        kind = lr_scheduler.ConstantLR if config.warmup_shape == "constant" else lr_scheduler.LinearLR
        before.append(kind(optimizer, config.warmup_factor, total_iters=warmup))
    if config.schedule == "plateau":
        return [*before, ReduceLROnPlateau(optimizer, factor=config.gamma, patience=config.plateau_patience)]
    main = _main_schedule(config, optimizer, steps_per_epoch, total_steps, warmup)
    if not before:
        return [main]
    return [lr_scheduler.SequentialLR(optimizer, [before[0], main], milestones=[warmup])]


def _main_schedule(config: TrainConfig, optimizer: Optimizer, steps_per_epoch: int, total_steps: int, warmup: int) -> LRScheduler:
    """Drops are counted from the start of the training; behind a warm-up the scheduler itself starts at 0 again."""
    if config.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, max(total_steps - warmup, 1))
    drops: list[int] = []
    if config.schedule == "step":
        drops = list(range(config.step_epochs * steps_per_epoch, total_steps, config.step_epochs * steps_per_epoch))
    elif config.schedule == "multistep":
        drops = [round(share * total_steps) for share in config.milestones]
    return lr_scheduler.MultiStepLR(optimizer, [max(step - warmup, 0) for step in sorted(drops)], gamma=config.gamma)


def schedule_curve(config: TrainConfig, steps_per_epoch: int) -> NDArray[np.float64]:
    """The learning rate of every step of a training without early stopping; `plateau` is drawn without drops, which only validation causes."""
    phases = [config.epochs]
    rates = [config.learning_rate]
    if 0 < config.freeze_epochs < config.epochs and config.unfreeze_learning_rate is not None:
        phases = [config.freeze_epochs, config.epochs - config.freeze_epochs]
        rates.append(config.unfreeze_learning_rate)
    curve: list[float] = []
    for epochs, rate in zip(phases, rates, strict=True):
        optimizer = _RateOnly(rate)
        total = epochs * steps_per_epoch
        schedules = make_schedule(phase_config(config, rate), optimizer, steps_per_epoch, total)
        for _ in range(total):
            curve.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            step_schedules(schedules)
    return np.array(curve)


class _RateOnly(Optimizer):
    """Holds a learning rate for schedulers and updates nothing. A real optimizer's constructor imports torch's compiler: 150 MB, two seconds."""

    def __init__(self, learning_rate: float) -> None:
        self.defaults = {"lr": learning_rate}
        self.param_groups = [{"lr": learning_rate, "params": []}]

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Nothing."""


def phase_config(config: TrainConfig, learning_rate: float) -> TrainConfig:
    return TrainConfig.from_dict({**config.to_dict(), "learning_rate": learning_rate})


def step_schedules(schedules: list[Schedule]) -> None:
    for schedule in schedules:
        if not isinstance(schedule, ReduceLROnPlateau):
            schedule.step()


def step_plateau(schedules: list[Schedule], valid_loss: float) -> None:
    for schedule in schedules:
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(valid_loss)
