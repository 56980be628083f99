"""Devices and the choice of precision: on this machine, and as they would be on others."""

import math
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from resnet_core.config import TrainConfig
from resnet_core.data.spec import Splits
from resnet_core.errors import UserError
from resnet_core.training import Training, available_devices, device_memory, device_name, evaluate, peak_memory, pick_device
from resnet_core.training import device as device_module
from resnet_core.training.device import ComputePlan, candidates, carried_on, require_candidates, synchronize
from resnet_core.training.events import EpochDone, StepDone

CPU = torch.device("cpu")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_there_is_the_cpu() -> None:
    assert available_devices() == ("cpu",)
    assert pick_device() == pick_device("cpu") == CPU


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_missing_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(UserError) as caught:
        pick_device(name)
    assert (caught.value.code, caught.value.field) == ("device_missing", "device")
    assert str(caught.value) == f"The device '{name}' is not available on this machine; choose auto, cpu."


def test_cuda_comes_before_mps_before_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert available_devices() == ("mps", "cpu")
    assert pick_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert available_devices() == ("cuda", "mps", "cpu")
    assert pick_device() == torch.device("cuda")
    assert pick_device("cpu") == CPU
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device("cuda") == torch.device("cuda", 3), "each process of torchrun has its own"


def test_what_this_machine_is_called_and_holds() -> None:
    assert device_name(CPU).startswith("CPU")
    assert f"{os.cpu_count()} core" in device_name(CPU)
    used, total = device_memory(CPU)
    assert 0 < used < total
    assert total > 2**28
    before = peak_memory(CPU)
    held = torch.ones(2**26)  # 256 MiB
    after = peak_memory(CPU)
    assert 2**27 < after < total
    assert after >= before
    assert held.numel() * 4 <= after
    synchronize(CPU)


@pytest.mark.skipif(not device_module.STATUS.exists(), reason="Linux counts so")
def test_a_process_does_not_count_what_the_one_held_that_started_it() -> None:
    held = torch.ones(2**28)  # 1 GiB
    script = "import torch; from resnet_core.training import peak_memory; print(peak_memory(torch.device('cpu')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100)
    assert 2**26 < int(done.stdout) < held.nbytes <= peak_memory(CPU)


def test_where_the_system_does_not_tell_what_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(device_module, "MEMINFO", tmp_path / "missing")
    monkeypatch.setattr(device_module, "STATUS", tmp_path / "missing")
    used, total = device_memory(CPU)
    assert used == peak_memory(CPU) < total


# -- candidates --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
@pytest.mark.parametrize("memory_format", ["auto", "contiguous", "channels_last"])
def test_float16_is_never_tried_on_a_cpu_and_a_choice_stays(precision: str, memory_format: str) -> None:
    found = candidates(CPU, TrainConfig(precision=precision, memory_format=memory_format, kernels="torch"))
    assert {plan.precision for plan in found} == ({"float32", "bfloat16"} if precision == "auto" else {precision})
    assert {plan.memory_format for plan in found} == ({"contiguous", "channels_last"} if memory_format == "auto" else {memory_format})
    tried = [(plan.precision, plan.memory_format) for plan in found if plan.convolution == "winograd"]
    assert tried == ([("float32", "channels_last")] if precision != "bfloat16" and memory_format != "contiguous" else [])


def test_a_convolution_that_is_asked_for_decides_the_rest() -> None:
    (winograd,) = candidates(CPU, TrainConfig(convolution="winograd", kernels="torch"))
    assert (winograd.precision, winograd.memory_format, winograd.convolution) == ("float32", "channels_last", "winograd")
    assert all(plan.convolution == "direct" for plan in candidates(CPU, TrainConfig(convolution="direct")))
    assert all(plan.convolution == "direct" for plan in candidates(CPU, TrainConfig(compile=True)))


@pytest.mark.parametrize(
    ("device", "settings"),
    [("cpu", {"precision": "bfloat16"}), ("cpu", {"memory_format": "contiguous"}), ("cpu", {"compile": True}), ("mps", {})],
)
def test_winograd_where_it_cannot_be_is_refused(device: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        candidates(torch.device(device), TrainConfig(convolution="winograd", **settings))
    assert (caught.value.code, caught.value.field) == ("no_winograd", "convolution")


def test_our_kernels_come_last_in_channels_last_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "available", lambda: True)
    usual = candidates(CPU, TrainConfig(kernels="torch"))
    ours = [replace(plan, kernels="native") for plan in usual if plan.memory_format == "channels_last"]
    assert candidates(CPU, TrainConfig()) == usual + ours
    assert candidates(CPU, TrainConfig(kernels="native")) == ours
    assert [plan.name for plan in ours if plan.precision == "float32"] == [
        "float32/channels_last/native",
        "float32/channels_last/winograd/native",
    ]
    for elsewhere in ({"memory_format": "contiguous"}, {"compile": True}, {"processes": 2}):
        assert all(plan.kernels == "torch" for plan in candidates(CPU, TrainConfig(**elsewhere)))  # type: ignore[arg-type]
    assert all(plan.kernels == "torch" for plan in candidates(torch.device("mps"), TrainConfig()))
    monkeypatch.setattr(device_module, "available", lambda: False)
    assert candidates(CPU, TrainConfig()) == usual


@pytest.mark.parametrize(
    ("device", "there", "settings"),
    [
        ("cpu", False, {}),
        ("cpu", True, {"memory_format": "contiguous"}),
        ("cpu", True, {"compile": True}),
        ("cpu", True, {"processes": 2}),
        ("mps", True, {}),
    ],
)
def test_our_kernels_where_they_cannot_be_are_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, there: bool, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(device_module, "available", lambda: there)
    with pytest.raises(UserError) as caught:
        candidates(torch.device(device), TrainConfig(kernels="native", **settings))
    assert (caught.value.code, caught.value.field) == ("no_kernels", "kernels")


def test_a_compiler_is_looked_for_only_where_its_kernels_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that is read shall not wait for it."""
    asked: list[bool] = []
    monkeypatch.setattr(device_module, "available", lambda: bool(asked.append(True)))
    require_candidates(CPU, TrainConfig())
    assert not asked
    for settings, code in (({"kernels": "native"}, "no_kernels"), ({"precision": "float16"}, "not_a_choice")):
        with pytest.raises(UserError) as caught:
            require_candidates(CPU, TrainConfig(**settings))  # type: ignore[arg-type]
        assert caught.value.code == code
    assert asked == [True]


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        candidates(CPU, TrainConfig(precision="float16"))
    assert (caught.value.code, caught.value.field) == ("not_a_choice", "precision")


@pytest.mark.parametrize(("supported", "precision"), [(True, "bfloat16"), (False, "float16")])
def test_a_gpu_takes_bfloat16_where_it_has_it(monkeypatch: pytest.MonkeyPatch, supported: bool, precision: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    cuda, asked = torch.device("cuda"), TrainConfig(precision="float16", memory_format="contiguous")
    assert candidates(cuda, TrainConfig()) == [ComputePlan(precision=precision, memory_format="channels_last")]
    assert candidates(cuda, asked) == [ComputePlan(precision="float16", memory_format="contiguous")]
    assert candidates(torch.device("mps"), TrainConfig()) == [ComputePlan(precision="float32", memory_format="channels_last")]


def test_a_training_is_carried_on_as_far_as_the_device_can(monkeypatch: pytest.MonkeyPatch) -> None:
    half, filtered = (
        ComputePlan(precision="float16", memory_format="channels_last"),
        ComputePlan(precision="float32", memory_format="channels_last", convolution="winograd"),
    )
    assert carried_on(half, CPU) is None
    assert carried_on(half, torch.device("cuda")) == half
    assert carried_on(filtered, CPU) == filtered
    assert carried_on(filtered, torch.device("cuda")) == ComputePlan(precision="float32", memory_format="channels_last")
    ours = ComputePlan(precision="bfloat16", memory_format="channels_last", kernels="native")
    for there, kernels in ((True, "native"), (False, "torch")):
        monkeypatch.setattr(device_module, "available", lambda there=there: there)
        assert carried_on(ours, CPU) == replace(ours, kernels=kernels)
    assert carried_on(ours, torch.device("cuda")) == replace(ours, kernels="torch")


def test_a_plan_decides_what_a_network_computes_in(splits: Splits) -> None:
    layer = nn.Conv2d(1, 4, 3)
    kinds = {}
    for precision in ("float32", "bfloat16"):
        with ComputePlan(precision=precision, memory_format="contiguous").computing(CPU):
            kinds[precision] = layer(torch.randn(2, 1, 8, 8)).dtype
    assert kinds == {"float32": torch.float32, "bfloat16": torch.bfloat16}


# -- on a GPU ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@gpu
def test_a_gpu_learns_what_a_cpu_learns(splits: Splits, config: Any) -> None:
    """In float32 the two differ by rounding only, step after step, while the steps are few."""
    runs = []
    for device in (CPU, torch.device("cuda")):
        training = Training(config(epochs=1, learning_rate=0.01), splits, device=device)
        events = list(training.events())
        runs.append(([e.loss for e in events if isinstance(e, StepDone)], training.weights()))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-2)
    for name, tensor in runs[0][1].items():
        assert torch.allclose(tensor, runs[1][1][name].cpu(), rtol=0.05, atol=0.02), name


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("precision", ["auto", "float16", "bfloat16", "float32"])
def test_every_precision_trains_on_a_gpu(splits: Splits, config: Any, precision: str) -> None:
    cfg = config(epochs=3, precision=precision, memory_format="auto", mixup=0.2, rotation=5, ema_decay=0.9, clip_norm=1)
    training = Training(cfg, splits, device=torch.device("cuda"))
    epochs = [event for event in training.events() if isinstance(event, EpochDone)]
    assert all(math.isfinite(event.train_loss) for event in epochs)
    judged = evaluate(training.model, splits.valid, splits.spec, device="cuda")
    assert math.isfinite(judged.loss)
    assert device_memory(torch.device("cuda"))[0] > 0
    assert peak_memory(torch.device("cuda")) > 0


PAGES_TAKEN_ANEW = """
import resource, sys, torch
from resnet_core.training.device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [torch.ones(12_000_000) for _ in range(2)]  # 48 MB each: glibc by itself maps such blocks one by one
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

said = sys.argv[1] != "keep" or keep_freed_memory()
faults()
print(said, faults())
"""


ANOTHER_THREAD = """
import threading, torch
from resnet_core.training.device import keep_freed_memory, peak_memory

def work():
    blocks = [torch.ones(2_000_000) for _ in range(40)]  # 8 MB each

torch.set_num_threads(1)
keep_freed_memory()
work()
before = peak_memory(torch.device("cpu"))
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(peak_memory(torch.device("cpu")) - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_one_thread_frees_another_one_uses() -> None:
    """As the backward pass does, which is a thread of its own: 320 MB more without that."""
    more = subprocess.run([sys.executable, "-c", ANOTHER_THREAD], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert int(more.stdout) < 60e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_only_when_told() -> None:
    """In processes of their own, as the kernel counts: pages that it had to hand out again."""

    def pages(told: str) -> int:
        command = [sys.executable, "-c", PAGES_TAKEN_ANEW, told]
        said, count = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]).stdout.split()
        assert said == "True"
        return int(count)

    assert pages("keep") < 100
    assert pages("hand back") > 10_000
