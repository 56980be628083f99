"""Every difference between devices: which one, its memory, its precisions, how to wait for it."""

import contextlib
import ctypes
import os
import platform
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_core.config import TrainConfig
from resnet_core.errors import UserError
from resnet_core.training.native import available, with_kernels
from resnet_core.training.winograd import WinogradConvolutions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
COMPUTED = ("precision", "memory_format", "convolution", "kernels")  # what a plan decides, by the names of the settings
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8  # names of glibc's malloc.h


@dataclass(frozen=True, kw_only=True)
class ComputePlan:
    """How a network is computed: precision (float32 alone means no autocast), memory order, direct or Winograd convolutions, and PyTorch's kernels or ours."""

    precision: str
    memory_format: str
    convolution: str = "direct"
    kernels: str = "torch"
    timings: dict[str, float] = field(default_factory=dict)  # `name` of each combination -> seconds per step, what it was chosen from

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "ComputePlan":
        """The one that a run's facts tell of, without its timings; older runs know of direct convolutions only, and PyTorch's kernels."""
        return cls(**{name: facts[name] for name in COMPUTED if name in facts})

    @property
    def name(self) -> str:
        more = [word for word in (self.convolution, self.kernels) if word not in ("direct", "torch")]
        return "/".join([self.precision, self.memory_format, *more])

    def computing(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """What the forward pass runs inside of."""
        if self.precision != "float32":
            return torch.autocast(device.type, dtype=DTYPES[self.precision])
        return WinogradConvolutions() if self.convolution == "winograd" else contextlib.nullcontext()

    def rewritten(self, network: nn.Module) -> nn.Module:
        """What is called in training: it shares all with the network."""
        return with_kernels(network) if self.kernels == "native" else network


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
    if STATUS.exists():  # Linux: what getrusage tells there of a new process is at least what the one held that started it
        return 1024 * int(next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
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
        plans = [plan for p in precisions for plan in (*plans, *filtered) if plan.precision == p]
    elif train.convolution == "winograd":
        plans = filtered
    return _with_kernels(plans, device, train)


def require_candidates(device: torch.device, train: TrainConfig) -> None:
    """Raises what `candidates` raises. A compiler is looked for only where our kernels are asked for: with `auto` there are others."""
    candidates(device, replace(train, kernels="torch") if train.kernels == "auto" else train)


def _with_kernels(plans: list[ComputePlan], device: torch.device, train: TrainConfig) -> list[ComputePlan]:
    """Those with kernels of ours come last; there are none without a C compiler."""
    possible = [
        plan
        for plan in plans
        if plan.memory_format == "channels_last" and device.type == "cpu" and not train.compile and train.processes == 1
    ]
    wanted = train.kernels != "torch" and bool(possible) and available()
    have = [replace(plan, kernels="native") for plan in possible] if wanted else []
    if train.kernels == "native" and not have:
        raise UserError("no_kernels", field="kernels", value=train.kernels)
    return have if train.kernels == "native" else plans + have


def _has_winograd(plan: ComputePlan, device: torch.device) -> bool:
    return device.type == "cpu" and (plan.precision, plan.memory_format) == ("float32", "channels_last")


def carried_on(plan: ComputePlan, device: torch.device) -> ComputePlan | None:
    """The plan of a training that began elsewhere, as far as this device has it; None where it lacks the precision."""
    if device.type == "cpu":
        if plan.precision == "float16":
            return None
        return plan if plan.kernels == "torch" or available() else replace(plan, kernels="torch")
    return replace(plan, convolution="direct", kernels="torch")
