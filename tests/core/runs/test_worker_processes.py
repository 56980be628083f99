"""Trainings in processes of their own, as people and pages start them, killed and stopped at any moment."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.runs import Store, find_checkpoint, read_blocks, read_epochs, read_steps, resume, start
from resnet_core.runs.process import start_time
from resnet_core.runs.queue import LOG, dispatch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # a dozen processes, each of which imports torch
OBEYED = 10  # seconds until a command is obeyed, on a machine that is busy with others
TIMINGS = ("images_per_second", "seconds")
LONG = {"epochs": 8, "ema_decay": 0.9, "rotation": 10, "mixup": 0.2, "probe_every": 7, "schedule": "cosine"}


def measured(store: Store, run: str) -> dict[str, Any]:
    """All that a run told, but for how long it took."""
    steps = asdict(read_steps(store, run))
    epochs = [asdict(row) for row in read_epochs(store, run)]
    found = store.run(run)
    for row in (steps, *epochs):
        for timing in TIMINGS:
            row.pop(timing, None)
    result = {key: found.result[key] for key in ("weights_sha256", "test_accuracy", "test_loss", "tested")}
    return {"steps": steps, "epochs": epochs, "blocks": read_blocks(store, run), "status": found.status, "epoch": found.epoch, **result}


def test_killed_paused_and_stopped_runs_end_like_one_that_never_was(
    own_runs: Path, launch: Callable[..., Any], train_arguments: Callable[..., list[str]], eventually: Callable[..., float]
) -> None:
    """SIGKILL at random moments, a pause, a stop in the middle of an epoch, SIGTERM: bit-identical weights and metrics."""
    store = Store()
    whole = launch(*train_arguments(**LONG))
    reference = whole.until(event="run")["run"]
    assert whole.end() == 0
    expected = measured(store, reference)
    assert len(expected["steps"]["loss"]) == 128

    seed = time.time_ns() % 10**6
    dice = random.Random(seed)
    process = launch(*train_arguments(**LONG))
    run = process.until(event="run")["run"]
    for kill_at in sorted(dice.sample(range(1, 30), 2)):  # so many steps after its (re)start; enough of them are left for what follows
        for _ in range(kill_at):
            process.until(event="step")
        time.sleep(dice.random() / 20)
        process.popen.kill()
        process.popen.wait()
        assert store.run(run).status == "interrupted"
        process = launch("train", "--json", "--resume", run)
    process.until(event="step")

    store.send(run, "pause")
    assert eventually(lambda: store.run(run).status == "paused") < OBEYED
    seen = store.run(run).step
    store.send(run, "resume")
    assert eventually(lambda: store.run(run).status == "running") < OBEYED
    process.until(event="step")
    os.kill(process.popen.pid, signal.SIGTERM)
    assert eventually(lambda: store.run(run).status == "stopped") < OBEYED
    assert process.end() == 130
    assert f"train --resume {run}" in process.errors()
    assert store.run(run).step >= seen

    process = launch("train", "--json", "--resume", run)
    process.until(event="step")
    with suppress(UserError):  # it has just finished
        store.send(run, "stop")
    assert eventually(lambda: store.run(run).status in ("stopped", "finished")) < OBEYED
    process.end()
    if store.run(run).status == "stopped":
        process = launch("train", "--json", "--resume", run)
        end = process.until(event="end")
        assert (end["status"], end["weights_sha256"]) == ("finished", expected["weights_sha256"])
        assert process.end() == 0
    assert measured(store, run) == expected, f"kills drawn with seed {seed}"


def test_nan_on_the_command_line(own_runs: Path, launch: Callable[..., Any], train_arguments: Callable[..., list[str]]) -> None:
    process = launch(*train_arguments(learning_rate=1000, norm="none"))
    run = process.until(event="run")["run"]
    assert process.until(event="end")["status"] == "failed"
    assert process.end() == 2
    (line,) = process.errors().splitlines()
    assert line.startswith("The loss became")
    assert "at step" in line
    assert "lower the learning rate" in line
    assert Store().run(run).status == "failed"
    find_checkpoint(run)


def test_a_queue_outlives_whoever_started_it(store: Store, small: Callable[..., RunConfig], eventually: Callable[..., float]) -> None:
    """A pair and a third run, one after the other, each in a process of its own; the third's was cancelled, the first's killed."""
    runs = start(store, [small(epochs=200), small(model="plain8", epochs=1)], names=["ResNet", "Plain"])
    assert [run.name for run in runs] == ["ResNet", "Plain"]
    first, second = (run.run for run in runs)
    assert {store.run(run).pair for run in (first, second)} == {first}
    (cancelled,) = (run.run for run in start(store, [small(epochs=1)]))
    (last,) = (run.run for run in start(store, [small(epochs=1, seed=1)]))
    assert [store.run(run).position for run in (first, second, cancelled, last)] == [None, 1, 2, 3]
    store.move(last, -1)
    store.send(cancelled, "stop")
    eventually(lambda: store.run(first).step > 3)
    assert [store.run(run).status for run in (first, second, cancelled, last)] == ["running", "queued", "stopped", "queued"]
    mark = store.run(first).mark
    assert mark is not None
    assert mark.pid != os.getpid()
    assert os.getsid(mark.pid) == mark.pid, "a session of its own: closing the terminal does not reach it"
    assert os.getpriority(os.PRIO_PROCESS, mark.pid) == max(5, os.getpriority(os.PRIO_PROCESS, 0))

    os.kill(mark.pid, signal.SIGKILL)
    eventually(lambda: store.run(first).status == "interrupted")
    assert store.run(second).status == "queued"
    assert dispatch(store) == (second,)
    eventually(lambda: store.run(last).status == "finished", 200)  # the second one's process passed the turn on
    assert store.run(second).status == "finished"
    marks = [store.run(run).mark for run in (first, second, last)]
    assert len({mark.pid for mark in marks if mark is not None}) == 3
    ended, began = store.run(second).ended, store.run(last).started
    assert ended is not None
    assert began is not None
    assert began >= ended
    log = store.run(last).folder / LOG
    eventually(lambda: "finished" in log.read_text())  # its last words, after the row
    assert "Traceback" not in log.read_text()

    assert resume(store, first).status == "running"
    store.send(first, "stop")
    eventually(lambda: store.run(first).status != "running")
    assert store.run(first).status == "stopped"
    mark = store.run(first).mark
    assert mark is not None
    eventually(lambda: start_time(mark.pid) is None)
