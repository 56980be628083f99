"""A store of its own, a small training, and real processes for the tests of runs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_core.config import RunConfig
from resnet_core.data import load_spec
from resnet_core.models import build_model
from resnet_core.runs import Checkpoint, Store, read_checkpoint, save_checkpoint

ROOT = Path(__file__).parents[3]
SMALL: dict[str, Any] = {
    "model": "resnet8", "width": 0.25, "batch_size": 16, "epochs": 4, "precision": "float32", "memory_format": "contiguous", "device": "cpu",
}  # fmt: skip


@pytest.fixture
def store(own_runs: Path) -> Store:
    return Store()


@pytest.fixture
def small(digits: str) -> Callable[..., RunConfig]:
    """A config that trains in a second, with single settings changed."""
    return lambda **changes: RunConfig.from_flat({**SMALL, "dataset": digits, **changes})


@pytest.fixture
def saved(tmp_path: Path, small: Callable[..., RunConfig]) -> Checkpoint:
    """A checkpoint on the disk whose weights are no initial ones, numbers of every kind among them."""
    config = small()
    spec = load_spec(config.data)
    weights = build_model(config.model, spec, seed=3).state_dict()
    generator = torch.Generator().manual_seed(1)
    for name, tensor in weights.items():
        weights[name] = torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor + 7
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, weights, config, spec, {"epoch": 2, "step": 8, "valid_accuracy": 0.5})
    return read_checkpoint(path)


class Process:
    """`python -m resnet_core ...` as a person starts it, in a runs folder of its own; its JSON lines are read one by one."""

    def __init__(self, root: Path, *arguments: str, module: Sequence[str] = ("-m", "resnet_core")) -> None:
        environment = {**os.environ, "RESNET_RUNS": str(root), "OMP_NUM_THREADS": "1"}
        self.popen = subprocess.Popen(
            [sys.executable, *module, *arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def events(self) -> Iterator[dict[str, Any]]:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            yield json.loads(line)

    def until(self, **wanted: Any) -> dict[str, Any]:
        """Read on to the first event with these values."""
        for event in self.events():
            if all(event.get(key) == value for key, value in wanted.items()):
                return event
        raise AssertionError(f"ended before {wanted}: {self.errors()}")

    def errors(self) -> str:
        assert self.popen.stderr is not None
        return self.popen.stderr.read()

    def end(self) -> int:
        """Its exit status."""
        for _ in self.events():
            pass
        return self.popen.wait(60)


@pytest.fixture
def launch(own_runs: Path) -> Iterator[Callable[..., Process]]:
    """Start processes; what a failing test leaves running is ended."""
    started: list[Process] = []

    def start(*arguments: str, **options: Any) -> Process:
        started.append(Process(own_runs, *arguments, **options))
        return started[-1]

    yield start
    for process in started:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.wait(10)
        for stream in (process.popen.stdout, process.popen.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def eventually() -> Callable[..., float]:
    """Wait until something holds; the seconds that it took."""

    def wait(condition: Callable[[], bool], seconds: float = 60) -> float:
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, "it did not happen in time"
            time.sleep(0.02)
        return time.monotonic() - began

    return wait


@pytest.fixture
def train_arguments(digits: str) -> Callable[..., list[str]]:
    """Options of `train` for the small config with single settings changed."""

    def arguments(**changes: Any) -> list[str]:
        settings = {**SMALL, "dataset": digits, **changes}
        return ["train", "--json", *(text for key, value in settings.items() for text in ("--set", f"{key}={value}"))]

    return arguments
