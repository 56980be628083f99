"""The trial of what computes fastest: by a clock of the tests', and by the real one."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

from resnet_core.config import ModelConfig, TrainConfig
from resnet_core.data import normalize
from resnet_core.data.spec import Splits
from resnet_core.models import build_model
from resnet_core.training import device as device_module
from resnet_core.training import trial as trial_module
from resnet_core.training.device import ComputePlan
from resnet_core.training.trial import guessed_speed, plan_compute
from resnet_core.training.winograd import WinogradConvolutions

CPU = torch.device("cpu")


@pytest.fixture
def batch(splits: Splits) -> tuple[Tensor, Tensor]:
    return normalize(splits.train.images, splits.spec), splits.train.labels


@pytest.fixture
def model(splits: Splits) -> nn.Module:
    made = build_model(ModelConfig(model="resnet8", width=0.5, stochastic_depth=0.5), splits.spec)
    for number, module in enumerate(made.modules()):
        module.training = number % 3 == 0
    for parameter in made.parameters():
        parameter.grad = torch.ones_like(parameter)
    return made


class Found:
    """A model as it was found."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.state = model, copy.deepcopy(model.state_dict())
        self.modes = [module.training for module in model.modules()]
        self.gradients = [p.grad for p in model.parameters()]
        self.random = torch.random.get_rng_state()

    def check(self) -> None:
        assert all(torch.equal(tensor, self.state[name]) for name, tensor in self.model.state_dict().items())
        assert [module.training for module in self.model.modules()] == self.modes
        assert all(p.grad is gradient for p, gradient in zip(self.model.parameters(), self.gradients, strict=True))
        assert all(p.is_contiguous() for p in self.model.parameters())
        assert torch.equal(torch.random.get_rng_state(), self.random)


def test_planning_leaves_the_model_as_found_and_keeps_the_fastest(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    found = Found(model)
    plan = plan_compute(model, *batch, CPU, TrainConfig())
    found.check()
    assert {"float32/contiguous", "float32/channels_last"} <= set(plan.timings)
    assert not any("float16/" in key.replace("bfloat16", "") for key in plan.timings)
    handicaps = {"winograd": 0.95, "native": 1.03}
    assert plan.name == min(
        plan.timings, key=lambda key: plan.timings[key] / math.prod(value for word, value in handicaps.items() if word in key)
    )


def test_so_does_planning_that_fails(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    found = Found(model)
    with pytest.raises(IndexError):
        plan_compute(model, batch[0], batch[1] + 100, CPU, TrainConfig())
    found.check()


def test_one_combination_is_not_timed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    plan = plan_compute(model, *batch, CPU, TrainConfig(precision="float32", memory_format="contiguous"))
    assert plan == ComputePlan(precision="float32", memory_format="contiguous")
    assert not calls


def fake_clock(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[], float], clock: str = "perf_counter") -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += seconds() / 2
        return now[0]

    monkeypatch.setattr(trial_module.time, clock, tick)


def test_a_precision_that_is_a_hundred_times_slower_costs_one_step(
    model: nn.Module, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CPUs without bf16 units: neither three steps of it nor its other memory order are tried. The first pass counts what Winograd would save: nothing."""
    steps: list[str] = []

    def note(*_: object) -> None:
        steps.append("bfloat16" if torch.is_autocast_enabled("cpu") else "float32")

    model.register_forward_hook(note)
    fake_clock(monkeypatch, lambda: 100.0 if steps and steps[-1] == "bfloat16" else 0.1)
    plan = plan_compute(model, *batch, CPU, TrainConfig())
    assert plan.precision == "float32"
    assert steps == ["float32"] * 3 + ["bfloat16"] + ["float32"] * 6


@pytest.mark.parametrize(("share", "kept"), [(0.97, "direct"), (0.7, "winograd")])
def test_winograd_is_for_those_who_gain_by_it(splits: Splits, monkeypatch: pytest.MonkeyPatch, share: float, kept: str) -> None:
    model, batch = (
        build_model(ModelConfig(model="resnet8", width=4.0), splits.spec),
        (normalize(splits.train.images, splits.spec), splits.train.labels),
    )
    inside: list[bool] = []
    model.register_forward_hook(
        lambda *_: inside.append(any(isinstance(m, WinogradConvolutions) for m in _get_current_function_mode_stack()))
    )
    fake_clock(monkeypatch, lambda: 0.1 * share if inside and inside[-1] else 0.1)
    plan = plan_compute(model, *batch, CPU, TrainConfig(precision="float32", kernels="torch"))
    rounds = 3 if kept == "winograd" else 4  # one more where they come close
    assert inside[1:] == [False, False, True] * rounds  # after the pass that counts what it saves
    assert plan.convolution == kept
    assert set(plan.timings) == {"float32/contiguous", "float32/channels_last", "float32/channels_last/winograd"}


@pytest.mark.parametrize(("share", "kept"), [(0.9, "native"), (1.02, "native"), (1.1, "torch")])
def test_our_kernels_are_kept_unless_they_are_slower(splits: Splits, monkeypatch: pytest.MonkeyPatch, share: float, kept: str) -> None:
    """They are tried last, with what came close without them, and twice."""
    monkeypatch.setattr(device_module, "available", lambda: True)
    model = build_model(ModelConfig(model="resnet8"), splits.spec)
    steps: list[str] = []

    def step(model: nn.Module, images: Tensor, labels: Tensor, device: torch.device, plan: ComputePlan) -> tuple[float, bool]:
        steps.append(plan.name)
        return (0.1 if plan.memory_format == "channels_last" else 0.2) * (share if plan.kernels == "native" else 1), True

    monkeypatch.setattr(trial_module, "_timed_step", step)
    images, labels = normalize(splits.train.images, splits.spec), splits.train.labels
    plan = plan_compute(model, images, labels, CPU, TrainConfig(precision="float32", convolution="direct"))
    usual = ["float32/contiguous", "float32/channels_last"]
    assert steps == usual * 3 + ["float32/channels_last", "float32/channels_last/native", "float32/channels_last/native"]
    assert plan.kernels == kept
    steps.clear()
    bare = build_model(ModelConfig(model="resnet8", norm="none"), splits.spec)
    assert plan_compute(bare, images, labels, CPU, TrainConfig(precision="float32", convolution="direct")).kernels == "torch"
    assert set(steps) == set(usual), "nothing there for them"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_kernels_of_ours_that_are_unsound_discard_themselves_alone(splits: Splits, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(device_module, "available", lambda: True)
    monkeypatch.setattr(trial_module, "_timed_step", lambda model, images, labels, device, plan: (0.1, plan.kernels == "torch"))
    model = build_model(ModelConfig(model="resnet8"), splits.spec)
    images, labels = normalize(splits.train.images, splits.spec), splits.train.labels
    plan = plan_compute(model, images, labels, CPU, TrainConfig(precision=precision, memory_format="channels_last", convolution="direct"))
    assert plan == ComputePlan(precision=precision, memory_format="channels_last", timings={f"{precision}/channels_last": 0.1})


@pytest.mark.parametrize("unsound_from", range(3))
def test_gradients_that_are_unsound_once_are_unsound(
    model: nn.Module, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, unsound_from: int
) -> None:
    """With stochastic depth every step draws anew: at the glance, in the first step, or in the second."""
    steps: list[ComputePlan] = []

    def step(model: nn.Module, images: Tensor, labels: Tensor, device: torch.device, plan: ComputePlan) -> tuple[float, bool]:
        steps.append(plan)
        done = sum(other.precision == plan.precision for other in steps)
        return (0.1, True) if plan.precision == "float32" else (0.01, done <= 2 * unsound_from)

    monkeypatch.setattr(trial_module, "_timed_step", step)
    assert plan_compute(model, *batch, CPU, TrainConfig()).precision == "float32"


@pytest.mark.parametrize(("seconds", "images"), [(0.02, 50), (2.0, 16), (200.0, 4)])
def test_slow_steps_are_tried_on_fewer_images(
    model: nn.Module, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, seconds: float, images: int
) -> None:
    """Half of so many seconds for a step, by this clock; all there are is 50."""
    sizes: list[int] = []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    fake_clock(monkeypatch, lambda: seconds)
    plan_compute(model, *batch, CPU, TrainConfig(precision="float32", convolution="direct"))
    assert sizes == [4, 4] + [images] * (6 if images > 4 else 4), (
        "both are as fast, so there is a third step; the glance itself is the first of two where no more images fit"
    )


def test_a_guess_is_a_timed_step_and_leaves_the_model_as_found(model: nn.Module, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, sizes = splits.spec, list[int]()
    shape = (spec.channels, spec.height, spec.width)
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    found = Found(model)
    assert guessed_speed(model, shape, len(spec.classes), 1) > 10  # type: ignore[operator]
    found.check()
    assert 2 <= len(sizes) <= 5
    for seconds, steps in ((0.5, 2), (0.1, 4), (9.0, 1)):  # half of them pass between the beginning and the end of a step
        sizes.clear()
        fake_clock(monkeypatch, lambda seconds=seconds: seconds, "thread_time")  # type: ignore[misc]
        assert guessed_speed(model, shape, len(spec.classes), 1) == pytest.approx(16 / (seconds / 2))
        assert sizes == [4] + [16] * steps, "the first one also builds what the others use"
    sizes.clear()
    assert guessed_speed(model, (spec.channels, 96, 96), len(spec.classes), 1) is None
    assert guessed_speed(nn.Linear(6000, 6000), (1, 1, 6000), 6000, 1) is None
    assert not sizes, "what is no quick thing is not tried"


def test_a_precision_whose_gradients_are_not_finite_is_not_kept(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    model.head.register_forward_hook(lambda m, i, o: o * math.nan if torch.is_autocast_enabled("cpu") else None)  # type: ignore[union-attr]
    plan = plan_compute(model, *batch, CPU, TrainConfig())
    assert plan.precision == "float32"
    assert not any(key.startswith("bfloat16") for key in plan.timings)
    assert plan_compute(model, *batch, CPU, TrainConfig(precision="bfloat16")).precision == "bfloat16", "asked for is asked for"
