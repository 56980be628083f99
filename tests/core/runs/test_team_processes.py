"""Runs that several processes train: from the queue and under torchrun, paused, stopped, killed and resumed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.runs import Run, Store, find_checkpoint, read_epochs, read_steps, resume, start
from resnet_core.runs.queue import check, training_command
from resnet_core.runs.worker import execute
from resnet_core.training import Training

pytestmark = pytest.mark.timeout(400)
LONG = {"epochs": 5, "learning_rate": 0.002, "schedule": "constant", "batch_size": 40}  # epochs of 7 steps


def member(store: Store, rank: int) -> int:
    """The process of this rank among those that train in this store."""
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"RANK={rank}".encode() in environment and f"RESNET_RUNS={store.root}".encode() in environment:
            return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes of a team in /proc")
def test_a_team_from_the_queue(
    store: Store, small: Callable[..., RunConfig], eventually: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused, its second process killed in the middle of an epoch, resumed: the curve is that of one process that never was."""
    monkeypatch.setenv("RESNET_NICE", "")  # two processes that wait for each other get nowhere on a machine that is busy with others
    (run,) = (run.run for run in start(store, [small(**LONG, processes=2)]))
    store.send(run, "pause")  # it is obeyed at the first event, however fast or slow the pair is
    eventually(lambda: store.run(run).status == "paused", 200)
    mark = store.run(run).mark
    assert mark is not None
    assert mark.pid == member(store, 0)
    assert store.run(run).facts["device"].startswith("2 x ")
    second = member(store, 1)
    store.send(run, "resume")
    eventually(lambda: store.run(run).step > 2, 200)
    os.kill(second, signal.SIGKILL)
    eventually(lambda: store.run(run).status == "failed", 200)
    found = store.run(run)
    assert found.error is not None
    assert found.error[0] == "team_broken"  # in the row alone: torchrun may end this process before its last words
    assert found.is_resumable
    assert found.step < 7 * 5

    resume(store, run)
    eventually(lambda: store.run(run).status == "finished", 120)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    alone = store.create(small(**LONG), "cpu").run
    store.claim("cpu", alone)
    assert execute(store, alone).status == "finished"
    steps, expected = read_steps(store, run), read_steps(store, alone)
    assert steps.step == expected.step == list(range(1, 7 * 5 + 1))
    assert steps.loss == pytest.approx(expected.loss, abs=1e-3)
    for ours, other in zip(read_epochs(store, run), read_epochs(store, alone), strict=True):
        assert (ours.train_accuracy, ours.valid_accuracy) == pytest.approx((other.train_accuracy, other.valid_accuracy), abs=0.02)
    assert store.run(run).test_accuracy == pytest.approx(store.run(alone).test_accuracy, abs=0.02)
    assert find_checkpoint(run).metrics["step"] == 7 * 5


@pytest.mark.long
def test_a_team_on_the_command_line(
    own_runs: Path, launch: Callable[..., object], train_arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    """One run although two processes were started, stopped, resumed, its leading process killed; a wrong setting is one line, and no process is left waiting."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "resnet_core"]
    process = launch(*train_arguments(epochs=20), module=torchrun)
    assert process.until(event="start")["device"].startswith("2 x ")
    process.until(event="step")
    (run,) = Store().runs()
    assert run.config.train.processes == 2
    Store().send(run.run, "stop")
    assert process.until(event="end")["status"] == "stopped"
    assert process.end() == 0
    seen = Store().run(run.run).step
    process = launch("train", "--resume", run.run, "--json")  # becomes torchrun itself
    assert process.until(event="step")["step"] == seen + 1
    process.popen.send_signal(signal.SIGTERM)
    assert process.until(event="end")["status"] == "stopped"
    process.end()
    assert Store().run(run.run).step > seen
    process = launch("train", "--resume", run.run, "--json")
    process.until(event="step")
    os.kill(member(Store(), 0), signal.SIGKILL)
    assert process.end() != 0, "torchrun ends the others"
    assert (Store().run(run.run).status, Store().run(run.run).is_resumable) == ("interrupted", True)
    wrong = launch(*train_arguments(batch_size=3), module=torchrun)
    assert wrong.end() != 0
    assert sum("batch_size must be at least 4" in line for line in wrong.errors().splitlines()) == 1
    assert len(Store().runs()) == 1


@pytest.mark.gpu
def test_a_team_on_gpus(store: Store, small: Callable[..., RunConfig], eventually: Callable[..., float]) -> None:
    """Two GPUs from the queue, against one: gradients over NCCL, torch's own SyncBatchNorm."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    settings = {**LONG, "device": "cuda"}
    runs = [run.run for wish in (small(**settings, processes=2), small(**settings)) for run in start(store, [wish])]
    for run in runs:
        eventually(lambda run=run: store.run(run).status == "finished", 200)
    pair, alone = (read_steps(store, run) for run in runs)
    assert store.run(runs[0]).facts["device"].startswith("2 x ")
    assert pair.loss == pytest.approx(alone.loss, abs=1e-2)


def test_the_command_of_a_team(store: Store, small: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """One process is started directly, several through torchrun; on GPUs no more than there are, whatever the run was begun with."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)

    def command(device: str, processes: int) -> str:
        run: Run = store.create(small(processes=processes, batch_size=64), device)
        return " ".join(training_command(run)).replace(run.run, "ID")

    assert command("cpu", 1).endswith("-m resnet_core train --run-id ID")
    assert "torch.distributed" not in command("cpu", 1)
    assert command("cpu", 2).endswith("-m torch.distributed.run --standalone --nproc-per-node=2 -m resnet_core train --run-id ID")
    assert "--nproc-per-node=4" in command("cuda", 4)
    assert "--nproc-per-node=4" in command("cuda", 8)
    assert "torch.distributed" not in command("mps", 8)


@pytest.mark.parametrize(("changes", "field"), [({"processes": 4096, "batch_size": 65_536}, "processes"), ({"processes": 2, "batch_size": 3}, "batch_size")])  # fmt: skip
def test_a_team_that_cannot_be_is_refused_before_it_is_queued(small: Callable[..., RunConfig], changes: dict[str, int], field: str) -> None:
    with pytest.raises(UserError) as caught:
        check(small(**changes))
    assert (caught.value.code, caught.value.field) == ("out_of_range", field)


@pytest.mark.parametrize(
    ("left", "error"),
    [
        (None, ("team_broken", {"reason": "Connection closed by peer [127.0.0.1]:2"})),
        ('["out_of_memory", {"batch_size": 16, "suggestion": 8}]', ("out_of_memory", {"batch_size": 16, "suggestion": 8})),
    ],
)
def test_what_the_leading_process_says_when_another_is_gone(
    store: Store, small: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, left: str | None, error: tuple[str, object]
) -> None:
    """Its own reason, where it left word of one."""
    from resnet_core.training.team import Team

    class Alone(Team):
        is_alone = False  # type: ignore[assignment]

        def tell(self, value: object = None) -> object:
            return value

        def any(self, wish: bool) -> bool:
            return wish

        def trouble(self) -> str | None:
            return left

    def gone(self: Training, *arguments: object) -> object:
        raise RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:2. Check the logs of the worker.")

    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr(Training, "_connect", lambda self: setattr(self, "network", self.model))
    monkeypatch.setattr(Training, "_update", gone)
    monkeypatch.setattr("resnet_core.training.loop.synchronized_norms", lambda model, device: model)
    run = store.create(small(), "cpu").run
    store.claim("cpu", run)
    ended = execute(store, run, team=Alone())
    assert (ended.status, ended.error) == ("failed", error)
    assert ended.is_resumable
