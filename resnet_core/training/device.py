"""Every difference between devices: which one, its memory, its precisions, how to wait for it."""

import contextlib
import ctypes
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.config import TrainConfig
from resnet_core.errors import UserError
from resnet_core.training.winograd import WinogradConvolutions, share_saved

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
COMPUTED = ("precision", "memory_format", "convolution")  # what a plan decides, by the names of the settings
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
MEMINFO = Path("/proc/meminfo")
TRIAL_IMAGES = 64  # enough to tell the combinations apart,
TRIAL_SECONDS = 4.0  # where a step of so many does not take longer
GLANCE_IMAGES = 4  # builds the kernels; and a CPU without bf16 units, which can be a hundred times slower with it, shows that here already
HOPELESS = 4  # times slower than another combination, and longer than a second: not tried any longer,
SLOWER = 1.5  # nor of so much slower ones where a step takes longer than TRIAL_SECONDS
LEAST_SAVED = 1 / 3  # of all multiplications of convolutions: with less to win, Winograd's are not tried
CLOSE = 1.25  # times the seconds of the fastest: another step has to tell
WORTH_IT = 0.95  # of the seconds of direct convolutions: for less, nobody should wonder about other last digits
MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8  # names of glibc's malloc.h


@dataclass(frozen=True, kw_only=True)
class ComputePlan:
    """How a network is computed: precision (float32 alone means no autocast), memory order, and direct or Winograd convolutions."""

    precision: str
    memory_format: str
    convolution: str = "direct"
    timings: dict[str, float] = field(default_factory=dict)  # `name` of each combination -> seconds per step, what it was chosen from

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "ComputePlan":
        """The one that a run's facts tell of, without its timings; older runs know of direct convolutions only."""
        return cls(**{name: facts[name] for name in COMPUTED if name in facts})

    @property
    def name(self) -> str:
        return f"{self.precision}/{self.memory_format}" + ("" if self.convolution == "direct" else f"/{self.convolution}")

    def computing(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """What the forward pass runs inside of."""
        if self.precision != "float32":
            return torch.autocast(device.type, dtype=DTYPES[self.precision])
        return WinogradConvolutions() if self.convolution == "winograd" else contextlib.nullcontext()


def available_devices() -> tuple[str, ...]:
    found = ["cuda"] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


def pick_device(choice: str = "auto") -> torch.device:
    """auto is cuda, then mps, then cpu; a device this machine lacks raises UserError."""
    known = available_devices()
    if choice == "auto":
        choice = known[0]
    if choice not in known:
        raise UserError("device_missing", field="device", value=choice, choices=", ".join(("auto", *known)))
    if choice == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return torch.device(choice)


def device_name(device: torch.device) -> str:
    """What people call it: the GPU's product name, or the CPU with its cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = os.cpu_count() or 1
    return f"CPU, {cores} core{'s' if cores > 1 else ''}" if device.type == "cpu" else "Apple GPU"


def device_memory(device: torch.device) -> tuple[int, int]:
    """(used by anyone, total) in bytes: of the GPU, or of this machine."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free, total
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if MEMINFO.exists():  # what could be had, caches included; macOS does not tell, so there it is what this process holds
        available = next(line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
        return total - 1024 * int(available.split()[1]), total
    return peak_memory(device), total


def peak_memory(device: torch.device) -> int:
    """The most this process has held so far, in bytes: on the GPU, or resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def keep_freed_memory() -> bool:
    """From now on this process keeps what it frees instead of handing it back; says whether this C library can be told so.

    A training step on the CPU allocates the same activations again and again. By default glibc gives every large one back to the
    kernel, which clears its pages anew in the next step: a tenth of a step of resnet20 on MNIST. All threads share one arena: what the
    backward pass, a thread of its own, frees in another one would never serve the forward pass.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    granted = [mallopt(name, value) for name, value in ((MMAP_THRESHOLD, 2**30), (TRIM_THRESHOLD, 2**31 - 1), (ARENA_MAX, 1))]
    return all(granted)


def updates_at_once(device: torch.device) -> bool | None:
    """Whether Adam shall update all parameters in one call; None leaves it to PyTorch, which on a CPU takes a dozen calls for each."""
    return True if device.type == "cpu" else None


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def candidates(device: torch.device, train: TrainConfig) -> list[ComputePlan]:
    """The combinations to time. float16 is never one on a CPU; a choice that is not `auto` stays."""
    precisions = [train.precision]
    if train.precision == "auto":
        precisions = ["float32", "bfloat16"]
        if device.type == "cuda":
            precisions = ["bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"]
        elif device.type == "mps":
            precisions = ["float32"]
    if train.precision == "float16" and device.type == "cpu":
        raise UserError("not_a_choice", field="precision", value=train.precision, choices="auto, float32, bfloat16")
    formats = [train.memory_format]
    if train.memory_format == "auto":
        formats = ["contiguous", "channels_last"] if device.type == "cpu" else ["channels_last"]
    plans = [ComputePlan(precision=p, memory_format=f) for p in precisions for f in formats]
    filtered = [replace(plan, convolution="winograd") for plan in plans if _has_winograd(plan, device) and not train.compile]
    if train.convolution == "winograd" and not filtered:
        raise UserError("no_winograd", field="convolution", value=train.convolution)
    if train.convolution == "auto":  # after all of float32, before a precision that may be hopeless here
        return [plan for p in precisions for plan in (*plans, *filtered) if plan.precision == p]
    return filtered if train.convolution == "winograd" else plans


def _has_winograd(plan: ComputePlan, device: torch.device) -> bool:
    return device.type == "cpu" and (plan.precision, plan.memory_format) == ("float32", "channels_last")


def carried_on(plan: ComputePlan, device: torch.device) -> ComputePlan | None:
    """The plan of a training that began elsewhere, as far as this device has it; None where it lacks the precision."""
    if device.type == "cpu":
        return None if plan.precision == "float16" else plan
    return replace(plan, convolution="direct")


def plan_compute(model: nn.Module, images: Tensor, labels: Tensor, device: torch.device, train: TrainConfig) -> ComputePlan:
    """Time two steps of each combination, a third one of those that come close to each other, and keep the fastest whose gradients are
    sound; the model is left as found.

    `images` (B, C, H, W) float and `labels` (B,) stand for a training batch.
    """
    choices = candidates(device, train)
    if len(choices) == 1:
        return choices[0]
    trial = _Trial(model, images, labels, device)
    with _given_back(model):
        if train.convolution == "auto" and _has_little_to_save(model, images, choices):
            choices = [plan for plan in choices if plan.convolution == "direct"]
        if len(choices) == 1:
            return choices[0]
        first = trial.seconds(choices, GLANCE_IMAGES)
        count = _trial_images(min(first.values(), default=math.inf))
        if count > GLANCE_IMAGES:
            first = trial.seconds(choices, count)
        timings = _faster(first, trial.seconds(choices, count))
        close = [plan for plan in choices if timings.get(plan.name, math.inf) < CLOSE * min(timings.values(), default=math.inf)]
        if len(close) > 1:
            timings = _faster(timings, trial.seconds(close, count))
    tried = [plan for plan in choices if plan.name in timings and plan.precision not in trial.unsound]
    if not tried:  # a precision was asked for whose gradients are not finite: the training says so at its first step
        return choices[0]
    return replace(
        min(tried, key=lambda plan: timings[plan.name] / _handicap(plan)), timings={plan.name: timings[plan.name] for plan in tried}
    )


def _faster(once: Mapping[str, float], again: Mapping[str, float]) -> dict[str, float]:
    return {name: min(took, again.get(name, math.inf)) for name, took in once.items()}


@dataclass(frozen=True)
class _Trial:
    """Steps of several plans in turn: what else the machine does meanwhile slows down all of them. Precisions that are hopeless here, or
    unsound, are tried no more.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    device: torch.device
    hopeless: set[str] = field(default_factory=set)
    unsound: set[str] = field(default_factory=set)

    def seconds(self, plans: Sequence[ComputePlan], count: int) -> dict[str, float]:
        """Of one step on so many images, by the plan's name."""
        found: dict[str, float] = {}
        for plan in plans:
            if plan.precision in self.hopeless | self.unsound:
                continue
            took, sound = _timed_step(self.model, self.images[:count], self.labels[:count], self.device, plan)
            if plan.precision != "float32":
                fastest = min(found.values(), default=math.inf)
                if took > max((HOPELESS if took < TRIAL_SECONDS else SLOWER) * fastest, 1.0):
                    self.hopeless.add(plan.precision)
                if not sound:
                    self.unsound.add(plan.precision)
            found[plan.name] = took
        return found


def _trial_images(glance: float) -> int:
    """As many as a step of so many seconds at the glance leaves time for: large images on a slow machine must not keep a person waiting."""
    return max(GLANCE_IMAGES, min(TRIAL_IMAGES, int(GLANCE_IMAGES * TRIAL_SECONDS / glance)))


def _has_little_to_save(model: nn.Module, images: Tensor, choices: Sequence[ComputePlan]) -> bool:
    return any(plan.convolution == "winograd" for plan in choices) and share_saved(model, images[:2]) < LEAST_SAVED


def _handicap(plan: ComputePlan) -> float:
    return WORTH_IT if plan.convolution == "winograd" else 1.0


@contextlib.contextmanager
def _given_back(model: nn.Module) -> Iterator[None]:
    """At the end weights, buffers and gradients are as before, and so are the random numbers to come; the memory order is contiguous."""
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            model.to(memory_format=torch.contiguous_format)
            model.load_state_dict(kept)
            for parameter, gradient in gradients:
                parameter.grad = gradient


def _timed_step(model: nn.Module, images: Tensor, labels: Tensor, device: torch.device, plan: ComputePlan) -> tuple[float, bool]:
    """(seconds, whether loss and gradients are finite) of a step without its update."""
    model.to(memory_format=FORMATS[plan.memory_format])
    batch = images.to(memory_format=FORMATS[plan.memory_format])
    start = time.perf_counter()
    for parameter in model.parameters():
        parameter.grad = None
    with plan.computing(device):
        logits = model(batch)
    loss = nn.functional.cross_entropy(logits.float(), labels)
    loss.backward()
    synchronize(device)
    seconds = time.perf_counter() - start
    norms = torch._foreach_norm([p.grad for p in model.parameters() if p.grad is not None])
    return seconds, bool(torch.isfinite(torch.stack([loss.detach(), *norms])).all())
