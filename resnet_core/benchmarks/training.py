"""How fast our trainer is: beside the notes' loop, beside itself without live statistics, and until an accuracy is reached."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.benchmarks.notes_loop import BATCH, EPOCHS, NotesLoop
from resnet_core.benchmarks.result import BenchmarkResult
from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import Splits, load_spec, load_splits
from resnet_core.inspection.residual import BlockStatistics
from resnet_core.models import describe
from resnet_core.presets import get_preset
from resnet_core.training import BlocksMeasured, EpochDone, StepDone, Training, evaluate, pick_device
from resnet_core.training.device import DTYPES, FORMATS, synchronize

STEPS = 10  # of one side before the other's turn: a GPU tells of so many at once
PASSES = 3  # a training step computes about three forward passes: one there, two back (gradients of inputs and of weights)
TARGETS = {"resnet20": 2.5, "resnet18": 2.1}  # on a CPU with bfloat16 units; elsewhere
TARGET_ELSEWHERE = 1.3
PROBED_EVERY = 50  # steps
MNIST_GOAL = 0.994


class OurSteps:
    """The steps of a training of ours; what validation and reading of files take between them is not counted."""

    def __init__(self, training: Training) -> None:
        self.training, self._events = training, training.events()

    def run(self, count: int) -> tuple[int, float]:
        """(images, seconds) of so many steps, measurements of blocks between them included."""
        images, seconds, done = 0, 0.0, 0
        while done < count:
            began = time.perf_counter()
            event = next(self._events)
            took = time.perf_counter() - began
            if isinstance(event, StepDone):
                done += 1
                images += self._images(event)
            if isinstance(event, StepDone | BlocksMeasured):
                seconds += took + self.told(event)
        return images, seconds

    def _images(self, event: StepDone) -> int:
        """The last step of an epoch may have fewer."""
        size, position = self.training.config.train.batch_size, (event.step - 1) % self.training.steps_per_epoch
        return min(size, len(self.training.train_split) - position * size)

    def told(self, event: object) -> float:
        """Seconds that somebody needs who is told."""
        return 0.0


class TheirSteps:
    """The steps of the notes' loop, in a process that was begun for it: its memory is then as their program would find it, neither kept by
    our settings of the allocator nor taken from what our training freed.
    """

    def __init__(self, process: Executor, model: str, dataset: str, device: torch.device) -> None:
        self.process = process
        process.submit(_begin_their_steps, model, dataset, str(device)).result()

    def run(self, count: int) -> tuple[int, float]:
        return self.process.submit(_their_steps, count).result()


def process_of_its_own() -> Executor:
    """One that has nothing of this one, and waits without work while this one has its turn."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


_theirs: list[tuple[NotesLoop, Iterator[int]]] = []  # in the process of their own


def _begin_their_steps(model: str, dataset: str, device: str) -> None:
    loop = NotesLoop(model, dataset, load_spec(DataConfig(dataset=dataset)), torch.device(device))
    _theirs[:] = [(loop, loop.steps())]


def _their_steps(count: int) -> tuple[int, float]:
    ((loop, steps),) = _theirs
    began = time.perf_counter()
    images = sum(next(steps) for _ in range(count))
    synchronize(loop.device)
    return images, time.perf_counter() - began


def in_turn(ours: Any, other: Any, rounds: int, steps: int = STEPS) -> tuple[float, float]:
    """Medians of images per second of A B A B ..., after one round of each that is not counted."""
    speeds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for side, kept in zip((ours, other), speeds, strict=True):
            images, seconds = side.run(steps)
            if number:
                kept.append(images / seconds)
    return statistics.median(speeds[0]), statistics.median(speeds[1])


def measure_training(*, rounds: int, model: str, dataset: str, steps: int = STEPS) -> BenchmarkResult:
    """Our step against the notes' loop: the same network, batch and optimizer (Adam)."""
    device = pick_device()
    config = RunConfig.from_flat(
        {"model": model, "dataset": dataset, "batch_size": BATCH, "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0,
         "schedule": "step", "step_epochs": 5, "gamma": 0.5, "epochs": 1000}
    )  # fmt: skip
    splits = load_splits(config.data, device=device)
    training = Training(config, splits, device=device)
    with process_of_its_own() as process:
        ours, other = in_turn(OurSteps(training), TheirSteps(process, model, dataset, device), rounds, steps)
    limits = machine_limit(device)
    flops = PASSES * describe(config.model, splits.spec).flops
    best = limits.get(training.plan.precision, limits["float32"])
    has_units = limits.get("bfloat16", 0) > 1.5 * limits["float32"]
    return BenchmarkResult(
        name="training",
        ours={
            "what": "our step", "images_per_second": ours, "precision": training.plan.precision, "memory_format": training.plan.memory_format,
            "convolution": training.plan.convolution, "kernels": training.plan.kernels,
            "tflops": ours * flops / 1e12, "share_of_limit": ours * flops / 1e12 / best,
        },
        other={"what": "the notes' loop (float32, no workers)", "images_per_second": other, "tflops": other * flops / 1e12},
        ratio=ours / other,
        target=TARGETS.get(model, TARGET_ELSEWHERE) if has_units else TARGET_ELSEWHERE,
        better="more",
        threads=torch.get_num_threads(),
        machine={f"{precision}_tflops": value for precision, value in limits.items()},
        notes=(f"The machine's own limit is the best of a large convolution; a training step is counted as {PASSES} forward passes of direct convolutions.",),
    )  # fmt: skip


@torch.inference_mode()
def machine_limit(device: torch.device, *, images: int = 32, channels: int = 256, tries: int = 5) -> dict[str, float]:
    """TFLOP/s of a 3x3 convolution that is large enough to be limited by arithmetic alone, the best of both memory orders, by precision."""
    side = 28
    flops = 2 * images * side * side * channels * channels * 9
    limits: dict[str, float] = {}
    for precision in ("float32", "bfloat16"):
        best = float("inf")
        for order in FORMATS.values():
            x = torch.randn(images, channels, side, side, device=device, dtype=DTYPES[precision]).to(memory_format=order)
            layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False, device=device, dtype=DTYPES[precision]).to(memory_format=order)
            for _ in range(tries):
                began = time.perf_counter()
                layer(x)
                synchronize(device)
                took = time.perf_counter() - began
                best = min(best, took)
                if took > 2:  # a CPU that computes bfloat16 in software
                    break
        limits[precision] = flops / best / 1e12
    return limits


# -- live statistics ---------------------------------------------------------------------------------------------------------------


class _Bare(Training):
    """The training without what is measured while it runs."""

    def _gradient_norms(self) -> Tensor:
        return torch.zeros(len(self._parts), device=self.device)

    def _measure_blocks(self) -> tuple[BlockStatistics, ...]:
        return ()


class _Told(OurSteps):
    """With a store that hears of everything, as in a run."""

    def __init__(self, training: Training, folder: Path) -> None:
        from resnet_core.runs import Store
        from resnet_core.runs.metrics import RunWriter

        super().__init__(training)
        store = Store(folder)
        self.writer = RunWriter(store, store.create(training.config, "cpu").run)

    def told(self, event: Any) -> float:
        began = time.perf_counter()
        self.writer.write(event)
        return time.perf_counter() - began


def measure_probes(*, rounds: int, model: str, dataset: str, steps: int = PROBED_EVERY, batch: int = BATCH) -> BenchmarkResult:
    """Images per second with all live statistics (gradient norms at every step, all blocks every 50 steps, rows in a store) and without any."""
    device = pick_device()
    config = RunConfig.from_flat({"model": model, "dataset": dataset, "batch_size": batch, "epochs": 1000, "probe_every": steps})
    splits = load_splits(config.data, device=device)
    watched = Training(config, splits, device=device)
    bare = _Bare(RunConfig.from_flat({"probe_every": None}, config), splits, device=device, plan=watched.plan)
    with tempfile.TemporaryDirectory() as folder:
        told = _Told(watched, Path(folder))
        try:
            ours, other = in_turn(told, OurSteps(bare), rounds, steps)
        finally:
            told.writer.close()
    return BenchmarkResult(
        name="probes",
        ours={
            "what": f"with live statistics, blocks every {steps} steps",
            "images_per_second": ours,
            "precision": watched.plan.precision,
        },
        other={"what": "without any", "images_per_second": other},
        ratio=ours / other,
        target=0.97,
        better="more",
        threads=torch.get_num_threads(),
    )


# -- until an accuracy is reached ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Race:
    """How one side fared: seconds until the goal, measured or, where the budget ended before, from its speed and the epochs it has left."""

    what: str
    seconds: float | None
    reached: bool
    best_accuracy: float | None
    epochs: int
    images_per_second: float
    seconds_spent: float


def measure_time_to_accuracy(*, budget: float, model: str, dataset: str, goal: float, other_epochs: int | None = None) -> BenchmarkResult:
    """Seconds of training until the goal on the test split; judging is not counted. `budget` is for each side.

    A side that is not there by then is extrapolated: ours to the end of its recipe, the notes' loop to `other_epochs` (default: all 15 of its
    own), at the speed that was measured.
    """
    device = pick_device()
    ours = _our_race(model, dataset, goal, budget, device)
    with process_of_its_own() as process:
        other = process.submit(_their_race, model, dataset, goal, budget, other_epochs or EPOCHS, str(device)).result()
    ratio = ours.seconds / other.seconds if ours.seconds and other.seconds else None
    notes = [
        f"Not there within {budget:g} s: {side.what}; its seconds are extrapolated from its speed."
        for side in (ours, other)
        if not side.reached
    ]
    if not other.reached:
        notes.append(
            f"For the notes' loop {other_epochs or EPOCHS} epochs are taken{'' if other_epochs else ', the whole of its recipe'}; --other-epochs says otherwise."
        )
    return BenchmarkResult(
        name="time-to-accuracy",
        ours=vars(ours),
        other=vars(other),
        ratio=ratio,
        target=0.1,
        better="less",
        threads=torch.get_num_threads(),
        machine={"goal": goal},
        notes=tuple(notes),
    )


def _our_race(model: str, dataset: str, goal: float, budget: float, device: torch.device) -> Race:
    config = get_preset("fast-cpu").config({"model": model, "dataset": dataset})
    began = time.perf_counter()
    splits = load_splits(config.data, device=device)
    training = Training(config, splits, device=device)
    setup = time.perf_counter() - began
    spent, best, images, epochs = setup, 0.0, 0, 0
    events = training.events()
    while (spent < budget or not images) and best < goal:
        began = time.perf_counter()
        event = next(events, None)
        spent += time.perf_counter() - began
        if event is None:
            break
        if isinstance(event, StepDone):
            images = epochs * len(splits.train) + min(
                config.train.batch_size * (event.step - epochs * training.steps_per_epoch), len(splits.train)
            )
        if isinstance(event, EpochDone):
            epochs += 1
            best = max(best, _accuracy(training.model, splits, device))
    whole = config.train.epochs * len(splits.train)
    return _race("fast-cpu", setup, spent, images, whole, epochs, best, goal, finished=training.finished)


def _their_race(model: str, dataset: str, goal: float, budget: float, needed: int, on: str) -> Race:
    device = torch.device(on)
    splits = load_splits(DataConfig(dataset=dataset), device=device)
    began = time.perf_counter()
    loop = NotesLoop(model, dataset, splits.spec, device)
    setup = time.perf_counter() - began
    spent, best, images, steps = setup, 0.0, 0, _timed(loop.steps())
    while (spent < budget or not images) and best < goal and loop.epochs < EPOCHS:
        before = loop.epochs
        count, took = next(steps)
        spent += took
        images += count
        if loop.epochs > before:
            best = max(best, _accuracy(loop.model, splits, device))
    whole = needed * len(loop.loader.dataset)  # type: ignore[arg-type]
    return _race("the notes' loop", setup, spent, images, whole, loop.epochs, best, goal, finished=loop.epochs >= EPOCHS)


def _timed(steps: Iterator[int]) -> Iterator[tuple[int, float]]:
    while True:
        began = time.perf_counter()
        count = next(steps)
        yield count, time.perf_counter() - began


def _race(what: str, setup: float, spent: float, images: int, whole: int, epochs: int, best: float, goal: float, *, finished: bool) -> Race:
    """Whoever went its whole way without reaching the goal has no time."""
    reached, speed = best >= goal, images / (spent - setup)
    seconds = spent if reached else None if finished else spent + max(whole - images, 0) / speed
    return Race(
        what=what,
        seconds=seconds,
        reached=reached,
        best_accuracy=best if epochs else None,
        epochs=epochs,
        images_per_second=speed,
        seconds_spent=spent,
    )


def _accuracy(model: nn.Module, splits: Splits, device: torch.device) -> float:
    return evaluate(model, splits.test, splits.spec, device=device).accuracy
