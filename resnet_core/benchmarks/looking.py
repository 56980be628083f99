"""What looking inside a network costs, beside a bare pass."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnet_core.benchmarks.result import BenchmarkResult
from resnet_core.config import ModelConfig
from resnet_core.data import DataSpec
from resnet_core.inspection import measure_gradients, residual_statistics
from resnet_core.models import build_model

IMAGES, DEPTH = 64, 110
SPEC = DataSpec(name="noise", channels=3, height=32, width=32, classes=tuple("0123456789"), mean=(0.5,) * 3, std=(0.25,) * 3)


@dataclass(frozen=True, kw_only=True)
class Looking:
    """`prepare` gives the two things to time, ours and the other, on the same network and images. `target` is the ratio not to exceed."""

    help: str
    ours: str
    other: str
    target: float
    prepare: Callable[[nn.Module, Tensor, Tensor], tuple[Callable[[], object], Callable[[], object]]]


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


LOOKING: dict[str, Looking] = {
    "inspect": Looking(
        help=f"all blocks of ResNet-{DEPTH} on {IMAGES} images against one bare forward pass",
        ours="residual_statistics",
        other="forward",
        target=1.3,
        prepare=_inspect,
    ),
    "split": Looking(
        help=f"the gradient split in all blocks of ResNet-{DEPTH} on {IMAGES} images against one bare forward and backward pass",
        ours="measure_gradients",
        other="forward and backward",
        target=2.5,
        prepare=_split,
    ),
}


def measure_looking(name: str, *, rounds: int, depth: int = DEPTH, images: int = IMAGES) -> BenchmarkResult:
    """Both in turn, so that whatever else the machine does meets both; one unmeasured round first. Seconds are the shortest of all rounds."""
    benchmark = LOOKING[name]
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
        better="less",
        threads=torch.get_num_threads(),
    )
