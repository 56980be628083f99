"""Schedules against torch's own and against their formulas; a drawn schedule is the one that is trained."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, lr_scheduler

from resnet_core.config import TrainConfig
from resnet_core.models import build_model
from resnet_core.training import EpochDone, StepDone, Training, schedule_curve
from resnet_core.training.optimization import make_optimizer

SCHEDULES = TrainConfig.settings()["schedule"].choices or ()
PER_EPOCH = 5


def optimizer(rate: float = 0.4) -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=rate)


def rates(schedule: Any, steps: int, every: int = 1) -> list[float]:
    """The rate of each step under one of torch's schedulers, which is stepped after every `every` of them."""
    found = []
    for step in range(1, steps + 1):
        found.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        if step % every == 0:
            schedule.step()
    return found


def curve(**changes: Any) -> list[float]:
    return schedule_curve(TrainConfig(**{"learning_rate": 0.4, "epochs": 6, **changes}), PER_EPOCH).tolist()


def test_constant() -> None:
    assert curve(schedule="constant") == [0.4] * 30


@pytest.mark.parametrize("step_epochs", [1, 2, 4, 30])
def test_step_is_torch_s_step_counted_in_epochs(step_epochs: int) -> None:
    theirs = rates(lr_scheduler.StepLR(optimizer(), step_epochs, gamma=0.3), 30, every=PER_EPOCH)
    assert curve(schedule="step", step_epochs=step_epochs, gamma=0.3) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("milestones", [(0.5, 0.75), (0.75, 0.5), (0.2,), (), (0.5, 0.5), (0.0,), (1.0,)], ids=str)
def test_multistep_drops_at_shares_of_the_training(milestones: tuple[float, ...]) -> None:
    theirs = rates(lr_scheduler.MultiStepLR(optimizer(), sorted(round(m * 30) for m in milestones), gamma=0.1), 30)
    found = curve(schedule="multistep", milestones=milestones)
    assert found == pytest.approx(theirs, rel=1e-12)
    expected = [0.4 * 0.1 ** sum(step >= round(m * 30) for m in milestones) for step in range(30)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_cosine_is_torch_s_and_ends_at_zero() -> None:
    assert curve(schedule="cosine") == pytest.approx(rates(lr_scheduler.CosineAnnealingLR(optimizer(), 30), 30), rel=1e-12)
    steps = np.arange(30)
    assert curve(schedule="cosine") == pytest.approx((0.2 * (1 + np.cos(np.pi * steps / 30))).tolist(), rel=1e-9)


def test_onecycle_is_torch_s() -> None:
    theirs = lr_scheduler.OneCycleLR(optimizer(), 0.4, total_steps=31, pct_start=0.3, cycle_momentum=False)
    found = curve(schedule="onecycle")
    assert found == pytest.approx(rates(theirs, 30), rel=1e-12)
    assert found[0] == pytest.approx(0.4 / 25)
    assert found[-1] < 0.01 * 0.4
    assert max(found) == pytest.approx(0.4, rel=0.02)
    assert int(np.argmax(found)) in (8, 9), "the highest point is at 30%"


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_onecycle_climbs_as_long_as_the_warm_up_says(epochs: int) -> None:
    found = curve(schedule="onecycle", warmup_epochs=epochs)
    assert abs(int(np.argmax(found)) - epochs * PER_EPOCH) <= 1
    assert max(found) == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize("schedule", [s for s in SCHEDULES if s != "onecycle"])
def test_a_warm_up_is_a_line_from_its_factor_to_the_rate_and_then_the_schedule(schedule: str) -> None:
    found = curve(schedule=schedule, warmup_epochs=1.4, warmup_factor=0.2, step_epochs=2)
    line = [0.4 * (0.2 + 0.8 * step / 7) for step in range(8)]
    assert found[:8] == pytest.approx(line, rel=1e-9), "1.4 epochs of 5 steps are 7 steps"
    drops = {"step": {10: 0.1, 20: 0.01}, "multistep": {15: 0.1, 22: 0.01}}.get(schedule, {})
    for step in range(7, 30):
        expected = 0.4 * min([factor for start, factor in drops.items() if step >= start], default=1.0)
        if schedule == "cosine":
            expected = 0.2 * (1 + np.cos(np.pi * (step - 7) / 23))
        assert found[step] == pytest.approx(expected, rel=1e-9), f"step {step}: drops are counted from the start of the training"


@pytest.mark.parametrize(("schedule", "drop"), [("step", 5), ("multistep", 6)])
def test_a_drop_inside_the_warm_up_is_in_force_behind_it(schedule: str, drop: int) -> None:
    found = curve(schedule=schedule, warmup_epochs=2, step_epochs=1, milestones=(drop / 30,))
    assert found[0] == pytest.approx(0.04)
    counted = {"step": [0.4 * 0.1 ** (s // 5) for s in range(10, 30)], "multistep": [0.04] * 20}[schedule]
    assert found[10:] == pytest.approx(counted, rel=1e-9)


@pytest.mark.parametrize("warmup", [0, 0.5, 1, 2.25, 100])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_drawn_schedule_is_the_trained_one(start: Callable[..., Training], schedule: str, warmup: float) -> None:
    training = start(
        schedule=schedule,
        warmup_epochs=warmup,
        optimizer="adamw" if warmup == 1 else "sgd",
        step_epochs=1,
        plateau_patience=1000,
        decay_all=False,
    )
    trained = [event.learning_rate for event in training.events() if isinstance(event, StepDone)]
    assert schedule_curve(training.config.train, training.steps_per_epoch).tolist() == trained


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("freeze", "after"), [(1, None), (2, 0.2), (9, 0.01)])
def test_so_is_the_one_of_a_training_that_starts_frozen(
    start: Callable[..., Training], schedule: str, freeze: int, after: float | None
) -> None:
    training = start(schedule=schedule, freeze_epochs=freeze, unfreeze_learning_rate=after, plateau_patience=1000, warmup_epochs=0.5)
    trained = [event.learning_rate for event in training.events() if isinstance(event, StepDone)]
    assert schedule_curve(training.config.train, training.steps_per_epoch).tolist() == trained
    if after is not None and freeze < 3 and schedule != "multistep":  # which drops before the warm-up ends
        assert max(trained[freeze * 4 :]) == pytest.approx(after, rel=0.2)


def test_plateau_drops_as_torch_s_does_with_these_validation_losses(start: Callable[..., Training]) -> None:
    training = start(schedule="plateau", plateau_patience=0, gamma=0.5, epochs=8, learning_rate=0.5)
    reference = lr_scheduler.ReduceLROnPlateau(optimizer(0.5), factor=0.5, patience=0)
    expected, seen = 0.5, []
    for event in training.events():
        if isinstance(event, StepDone):
            assert event.learning_rate == expected
        if isinstance(event, EpochDone):
            assert event.learning_rate == expected, "the rate this epoch was trained with"
            reference.step(event.valid_loss)
            expected = reference.optimizer.param_groups[0]["lr"]
            seen.append(expected)
    assert min(seen) < 0.5, "otherwise this test shows nothing"


@pytest.mark.parametrize(("schedule", "epochs", "per_epoch"), [*itertools.product(SCHEDULES, (1, 2), (1, 2, 3))])
def test_the_shortest_trainings_have_a_schedule_too(schedule: str, epochs: int, per_epoch: int) -> None:
    for warmup in (0, 1, 5):
        found = schedule_curve(TrainConfig(schedule=schedule, epochs=epochs, warmup_epochs=warmup), per_epoch)
        assert len(found) == epochs * per_epoch
        assert ((found > 0) & (found <= 0.1 * (1 + 1e-9))).all()


# -- optimizers --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay_all", [True, False])
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_weight_decay_reaches_norms_and_biases_only_where_asked_for(start: Callable[..., Training], kind: str, decay_all: bool) -> None:
    training = start()
    model = build_model(training.config.model, training.spec)
    config = TrainConfig(optimizer=kind, decay_all=decay_all, weight_decay=0.25, learning_rate=0.5)
    made = make_optimizer(config, model)
    assert type(made).__name__.lower() == kind
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert len(decays) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        matrix = name.endswith("weight") and ("conv" in name or "fc" in name)
        assert decays[id(parameter)] == (0.25 if matrix or decay_all else 0), name


def test_without_decay_a_norm_that_gets_no_gradient_stays(start: Callable[..., Training]) -> None:
    training = start()
    model = build_model(training.config.model, training.spec)
    made = make_optimizer(TrainConfig(decay_all=False, weight_decay=0.5, momentum=0, nesterov=False, learning_rate=1.0), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.detach(), before[name] * (0.5 if parameter.ndim > 1 else 1)), name


def test_sgd_takes_momentum_and_nesterov_from_the_config(start: Callable[..., Training]) -> None:
    model = nn.Linear(2, 2)
    for momentum, nesterov in ((0.8, True), (0.8, False), (0.0, True)):
        group = make_optimizer(TrainConfig(momentum=momentum, nesterov=nesterov), model).param_groups[0]
        assert (group["momentum"], group["nesterov"]) == (momentum, nesterov and momentum > 0)


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_a_part_without_gradients_at_first_is_updated_like_the_others_later(kind: str) -> None:
    """A block that stochastic depth left out: every optimizer of ours goes on as PyTorch's own, parameter by parameter."""

    def trained(make: Callable[[nn.Module], torch.optim.Optimizer]) -> list[torch.Tensor]:
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        with torch.no_grad():
            for place, parameter in enumerate(model.parameters()):
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape) + place)
        optimizer, x = make(model), torch.tensor([[1.0, -2.0, 0.5]])
        for parts in (model[1:], model, model):
            optimizer.zero_grad()
            parts(x if len(parts) == 2 else x.new_ones(1, 4)).square().sum().backward()
            optimizer.step()
        return [parameter.detach() for parameter in model.parameters()]

    theirs = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": lambda *given, **how: SGD(*given, momentum=0.9, **how)}[kind]
    config = TrainConfig(optimizer=kind, learning_rate=0.01, weight_decay=0.1, momentum=0.9, nesterov=False)
    ours = trained(lambda model: make_optimizer(config, model))
    alone = trained(lambda model: theirs(model.parameters(), lr=0.01, weight_decay=0.1, foreach=False, fused=False))
    for found, expected in zip(ours, alone, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
