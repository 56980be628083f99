"""The benchmarks time what they say, and looking costs what was promised, with room for a busy machine."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from resnet_core.benchmarks import BENCHMARKS, run_benchmark, training
from resnet_core.benchmarks.looking import LOOKING
from resnet_core.benchmarks.notes_loop import NotesLoop
from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import data_root, load_spec, normalize, open_source
from resnet_core.errors import UserError
from resnet_core.models import build_model

CPU = torch.device("cpu")

pytestmark = pytest.mark.timeout(600)  # a busy machine measures for longer


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOKING)
def test_looking_inside_costs_little(name: str) -> None:
    result = run_benchmark(name, depth=20, images=32, rounds=9)
    assert result.ratio == pytest.approx(float(result.ours["seconds"]) / float(result.other["seconds"]))
    assert 0.6 < result.ratio < 2 * result.target  # far less than a bare pass would mean that something else was timed


@pytest.mark.long
def test_maps_in_batches_are_captums_and_come_sooner() -> None:
    result = run_benchmark("attribute", model="resnet8", images=64, rounds=5)
    assert result.ratio == pytest.approx(result.ours["maps_per_second"] / result.other["maps_per_second"])
    assert result.ratio > 1, "the aim is 1.5, with room for a busy machine"
    assert float(re.findall(r"at most ([0-9.e-]+) of", result.notes[0])[0]) <= 1e-5


def test_an_unknown_benchmark_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="known: attribute, inspect, probes, split, time-to-accuracy, training"):
        run_benchmark("everything")


def test_the_notes_loop_is_plain_adam_on_normalised_images(digits: str) -> None:
    """Two of its steps against Adam written out, on the images that its own order brings; an epoch is 320 images in three steps."""
    config = DataConfig(dataset=digits)
    spec = load_spec(config)
    images = open_source(config, data_root()).read("train")
    loop = NotesLoop("resnet8", digits, spec, CPU)
    torch.manual_seed(3)
    steps = loop.steps()
    assert [next(steps) for _ in range(2)] == [128, 128]

    model = build_model(ModelConfig(model="resnet8"), spec, seed=0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(3)
    order = iter(loop.loader.batch_sampler)  # type: ignore[arg-type]
    torch.empty((), dtype=torch.int64).random_()  # a DataLoader draws a seed for its workers first
    for _ in range(2):
        places = torch.tensor(next(order))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(normalize(images.images[places], spec)), images.labels[places])
        loss.backward()
        optimizer.step()
    assert loop.running_loss == pytest.approx(loss.item(), abs=1e-3)
    assert [next(steps), next(steps)] == [64, 128]
    assert loop.epochs == 1


class Side:
    """Runs at a speed that is known."""

    def __init__(self, speeds: list[float], called: list[str], name: str) -> None:
        self.speeds, self.called, self.name = iter(speeds), called, name

    def run(self, count: int) -> tuple[int, float]:
        self.called.append(self.name)
        return 100 * count, 100 * count / next(self.speeds)


def test_both_sides_run_in_turn_and_medians_count() -> None:
    called: list[str] = []
    ours, other = Side([1, 50, 300, 70], called, "A"), Side([900, 20, 10, 40], called, "B")
    assert training.in_turn(ours, other, rounds=3, steps=2) == pytest.approx((70, 20))
    assert "".join(called) == "ABABABAB"


def test_only_steps_are_timed(digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the validation that an epoch of seven steps ends with; blocks that are measured between steps are."""
    from resnet_core.config import RunConfig
    from resnet_core.data import load_splits

    config = RunConfig.from_flat(
        {"model": "resnet8", "width": 0.25, "dataset": digits, "batch_size": 40, "probe_every": 3, "precision": "float32"}
    )
    steps = training.OurSteps(training.Training(config, load_splits(config.data), device=CPU))
    told: list[str] = []
    monkeypatch.setattr(steps, "told", lambda event: told.append(type(event).__name__) or 1000.0)
    images, seconds = steps.run(9)
    assert images == 256 + 2 * 40
    assert told == ["BlocksMeasured", *["StepDone"] * 3, "BlocksMeasured", *["StepDone"] * 3, "BlocksMeasured", *["StepDone"] * 3]
    assert round(seconds / 1000) == len(told)


@pytest.mark.slow
def test_training_beside_the_notes_loop(digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "machine_limit", lambda device: {"float32": 0.1, "bfloat16": 0.2})
    result = run_benchmark("training", rounds=2, model="resnet8", dataset=digits, steps=2)
    assert result.ratio == pytest.approx(result.ours["images_per_second"] / result.other["images_per_second"])
    assert result.ours["share_of_limit"] == pytest.approx(result.ours["tflops"] / result.machine[f"{result.ours['precision']}_tflops"])
    assert result.other["images_per_second"] > 1
    assert (result.target, result.better) == (1.3, "more")


def test_the_machines_limit_is_that_of_a_convolution() -> None:
    """No precision computes a hundred times faster than a matrix product of the same size here."""
    limits = training.machine_limit(CPU, images=2, channels=64, tries=2)
    a = torch.randn(512, 512)
    began = training.time.perf_counter()
    for _ in range(10):
        a @ a
    product = 10 * 2 * 512**3 / (training.time.perf_counter() - began) / 1e12
    assert set(limits) == {"float32", "bfloat16"}
    assert product / 100 < limits["float32"] < 100 * product
    assert 0 < limits["bfloat16"] < 100 * product


@pytest.mark.long
def test_probes(digits: str) -> None:
    result = run_benchmark("probes", rounds=5, model="resnet8", dataset=digits, steps=7, batch=40)
    assert 0.05 < result.ratio < 5
    assert result.ratio == pytest.approx(result.ours["images_per_second"] / result.other["images_per_second"])


@pytest.mark.long
def test_time_to_accuracy_on_a_small_budget(digits: str) -> None:
    """A goal that the first epoch reaches is measured, one that the budget does not reach is extrapolated, and it is said which."""
    reached = run_benchmark("time-to-accuracy", budget=60, model="resnet8", dataset=digits, goal=0.05)
    for side in (reached.ours, reached.other):
        assert side["reached"]
        assert side["seconds"] == side["seconds_spent"]
        assert side["best_accuracy"] >= 0.05
    assert reached.ratio == pytest.approx(reached.ours["seconds"] / reached.other["seconds"])
    assert not reached.notes
    early = run_benchmark("time-to-accuracy", budget=0.2, model="resnet8", dataset=digits, goal=1.0, other_epochs=7)
    other: dict[str, Any] = early.other
    assert not early.ours["reached"]
    assert not other["reached"]
    setup = other["seconds"] - 7 * 320 / other["images_per_second"]  # the time until its first step
    assert -1e-6 <= setup <= other["seconds_spent"]
    assert other["seconds_spent"] < other["seconds"]
    assert len(early.notes) == 3
    assert "7 epochs" in early.notes[2]


def test_options_that_mean_nothing_to_a_benchmark_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("resnet_core.benchmarks.BENCHMARKS", {"x": BENCHMARKS["split"].__class__(help="", unit="s", takes=("rounds",), measure=lambda **o: seen.update(o))})  # fmt: skip
    run_benchmark("x", rounds=None, model="resnet18", budget=3)
    assert seen == {"rounds": 5}
