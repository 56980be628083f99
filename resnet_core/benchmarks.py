"""Measurements of ours beside the obvious alternative, in one run on one machine: what looking inside a network costs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnet_core.config import ModelConfig
from resnet_core.data import DataSpec
from resnet_core.errors import UserError, nearest
from resnet_core.inspection import measure_gradients, residual_statistics
from resnet_core.models import build_model

IMAGES, DEPTH = 64, 110
SPEC = DataSpec(name="noise", channels=3, height=32, width=32, classes=tuple("0123456789"), mean=(0.5,) * 3, std=(0.25,) * 3)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """`prepare` gives the two things to time, ours and the other, on the same network and images. `target` is the ratio not to exceed."""

    help: str
    ours: str
    other: str
    target: float
    prepare: Callable[[nn.Module, Tensor, Tensor], tuple[Callable[[], object], Callable[[], object]]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """Seconds are the shortest of all rounds; `ratio` is ours / other."""

    name: str
    ours: dict[str, float | str]
    other: dict[str, float | str]
    ratio: float
    target: float
    threads: int


def _inspect(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    @torch.inference_mode()
    def bare() -> Tensor:
        return model(images)  # type: ignore[no-any-return]

    return lambda: residual_statistics(model, images, batch_size=len(images)), bare


def _split(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    def bare() -> None:
        model.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(images), labels).backward()

    return lambda: measure_gradients(model, images, labels), bare


BENCHMARKS: dict[str, Benchmark] = {
    "inspect": Benchmark(
        help=f"all blocks of ResNet-{DEPTH} on {IMAGES} images against one bare forward pass",
        ours="residual_statistics",
        other="forward",
        target=1.3,
        prepare=_inspect,
    ),
    "split": Benchmark(
        help=f"the gradient split in all blocks of ResNet-{DEPTH} on {IMAGES} images against one bare forward and backward pass",
        ours="measure_gradients",
        other="forward and backward",
        target=2.5,
        prepare=_split,
    ),
}


def run_benchmark(name: str, *, depth: int = DEPTH, images: int = IMAGES, rounds: int = 5) -> BenchmarkResult:
    """Both in turn, so that whatever else the machine does meets both; one unmeasured round first."""
    if name not in BENCHMARKS:
        raise UserError("unknown_name", what="benchmark", value=name, hint=nearest(name, BENCHMARKS))
    benchmark = BENCHMARKS[name]
    model = build_model(ModelConfig(model=f"resnet{depth}"), SPEC).eval()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(images, SPEC.channels, SPEC.height, SPEC.width, generator=generator)
    labels = torch.randint(len(SPEC.classes), (images,), generator=generator)
    both = benchmark.prepare(model, inputs, labels)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for run, kept in zip(both, times, strict=True):
            start = time.perf_counter()
            run()
            if number:
                kept.append(time.perf_counter() - start)
    ours, other = min(times[0]), min(times[1])
    return BenchmarkResult(
        name=name,
        ours={"what": benchmark.ours, "seconds": ours},
        other={"what": benchmark.other, "seconds": other},
        ratio=ours / other,
        target=benchmark.target,
        threads=torch.get_num_threads(),
    )
