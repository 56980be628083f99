"""Measurements of ours beside the obvious alternative, in one run on one machine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resnet_core.benchmarks.attributing import measure_attribute
from resnet_core.benchmarks.looking import LOOKING, measure_looking
from resnet_core.benchmarks.result import BenchmarkResult
from resnet_core.benchmarks.training import MNIST_GOAL, measure_probes, measure_time_to_accuracy, measure_training
from resnet_core.errors import UserError, nearest

__all__ = ["BENCHMARKS", "Benchmark", "BenchmarkResult", "run_benchmark"]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """`unit` is what of each side people read; `takes` are the options that mean something to it."""

    help: str
    unit: str
    takes: tuple[str, ...]
    measure: Callable[..., BenchmarkResult]


def _looking(name: str) -> Benchmark:
    return Benchmark(help=LOOKING[name].help, unit="seconds", takes=("rounds",), measure=lambda **options: measure_looking(name, **options))


BENCHMARKS: dict[str, Benchmark] = {
    **{name: _looking(name) for name in LOOKING},
    "attribute": Benchmark(
        help="maps of 64 images by four methods, in batches, against Captum called image by image",
        unit="maps_per_second",
        takes=("rounds", "model"),
        measure=measure_attribute,
    ),
    "training": Benchmark(
        help="our training step against the notes' loop",
        unit="images_per_second",
        takes=("rounds", "model", "dataset"),
        measure=measure_training,
    ),
    "probes": Benchmark(
        help="training with all live statistics against training without any",
        unit="images_per_second",
        takes=("rounds", "model", "dataset"),
        measure=measure_probes,
    ),
    "time-to-accuracy": Benchmark(
        help="seconds of training until an accuracy on the test split: the preset fast-cpu against the notes' recipe in the notes' loop",
        unit="seconds",
        takes=("budget", "model", "dataset", "goal", "other_epochs"),
        measure=measure_time_to_accuracy,
    ),
}
DEFAULTS: dict[str, Any] = {"rounds": 5, "model": "resnet20", "dataset": "mnist", "budget": 600.0, "goal": MNIST_GOAL, "other_epochs": None}


def run_benchmark(name: str, **options: Any) -> BenchmarkResult:
    """Options that are not given, or that mean nothing to this benchmark, are left at their defaults. Raises unknown_name."""
    if name not in BENCHMARKS:
        raise UserError("unknown_name", what="benchmark", value=name, hint=nearest(name, BENCHMARKS))
    benchmark = BENCHMARKS[name]
    given = {key: value for key, value in options.items() if value is not None and (key in benchmark.takes or key not in DEFAULTS)}
    return benchmark.measure(**{key: DEFAULTS[key] for key in benchmark.takes} | given)
