"""A process that waits for a training trains as any other, and never outlives its use."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resnet_core.config import RunConfig
from resnet_core.runs import Store, standby, start
from resnet_core.runs.process import PROJECT, start_time
from resnet_core.runs.queue import LOG
from resnet_core.runs.run import Run
from resnet_core.runs.standby import stand_by, take
from tests.core.runs.worker.running import claimed_and_ended

pytestmark = pytest.mark.slow  # processes that import torch
SERVER = "import sys; from resnet_core.runs import standby; standby.stand_by(); print(standby._waiting.process.pid, flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def none_waits(own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After a test."""
    monkeypatch.setenv("RESNET_STANDBY", "1")
    yield
    if standby._waiting is not None:
        standby._waiting.end()
        standby._waiting = None


def waiting() -> "subprocess.Popen[bytes]":
    stand_by()
    assert standby._waiting is not None
    return standby._waiting.process


def finished(store: Store, config: RunConfig, eventually: Callable[..., float]) -> Run:
    (run,) = start(store, [config])
    eventually(lambda: not store.run(run.run).is_active)
    return store.run(run.run)


def test_it_trains_what_any_other_process_would(store: Store, small: Callable[..., RunConfig], eventually: Callable[..., float]) -> None:
    process = waiting()
    stand_by()
    assert waiting() is process, "one is enough"
    found = finished(store, small(epochs=1), eventually)
    assert found.mark is not None
    assert found.mark.pid == process.pid
    here = store.run(claimed_and_ended(store, small(epochs=1)))
    assert (found.status, found.result["weights_sha256"]) == ("finished", here.result["weights_sha256"])
    assert process.wait(30) == 0
    begun, *_, ended = (found.folder / LOG).read_text().splitlines()
    assert "training and" in begun
    assert ended.startswith("finished")
    assert waiting() is not process


@pytest.mark.long
def test_it_is_stopped_like_any_other(store: Store, small: Callable[..., RunConfig], eventually: Callable[..., float]) -> None:
    process = waiting()
    (run,) = start(store, [small(epochs=500)])
    eventually(lambda: store.run(run.run).step > 0)
    assert os.getsid(process.pid) == process.pid
    os.kill(process.pid, signal.SIGTERM)
    eventually(lambda: store.run(run.run).status == "stopped")
    assert process.wait(30) == 130


@pytest.mark.long
def test_where_it_died_a_fresh_process_trains(store: Store, small: Callable[..., RunConfig], eventually: Callable[..., float]) -> None:
    process = waiting()
    process.kill()
    process.wait(10)
    found = finished(store, small(epochs=1), eventually)
    assert found.status == "finished"
    assert found.mark is not None
    assert found.mark.pid != process.pid


def test_one_that_dies_while_it_is_told_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = waiting()
    process.kill()
    process.wait(10)
    monkeypatch.setattr(standby._Standby, "fits", lambda self, environment: True)
    assert take([*standby.OURS, "runs", "list"], {"LONG": "x" * 100_000}, tmp_path / LOG) is None
    assert process.stdin is not None
    assert process.stdin.closed
    assert standby._waiting is None


def test_it_becomes_no_other_program(tmp_path: Path) -> None:
    process = waiting()
    assert take([sys.executable, "-m", "torch.distributed.run"], os.environ, tmp_path / LOG) is None
    assert process.poll() is None


@pytest.mark.parametrize("reason", ["another environment", "too old"])
def test_it_is_not_taken_for_what_it_does_not_fit(reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = waiting()
    if reason == "too old":
        monkeypatch.setattr(standby, "SECONDS", standby.MARGIN)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert take([*standby.OURS, "runs", "list"], os.environ, tmp_path / LOG) is None
    assert process.poll() is not None
    assert not (tmp_path / LOG).exists()


def test_an_old_one_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    old = waiting()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    new = waiting()
    assert new is not old
    assert old.poll() is not None


def test_it_ends_with_whoever_started_it(eventually: Callable[..., float]) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None
    process = int(server.stdout.readline())
    assert start_time(process) is not None
    server.kill()
    server.communicate()
    eventually(lambda: start_time(process) is None)


@pytest.mark.long
def test_it_ends_when_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "SECONDS", 0.1)
    assert waiting().wait(60) == 0


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_STANDBY", "0")
    stand_by()
    assert standby._waiting is None
