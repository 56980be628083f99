"""Pause, stop and going on, also after damage."""

import dataclasses
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps

from resnet_core.errors import UserError
from resnet_core.runs import Store, find_checkpoint, read_notices, read_steps
from resnet_core.runs.process import start_time
from resnet_core.runs.resume_state import NEWEST, load_resume_state, save_resume_state
from resnet_core.runs.worker import execute
from tests.core.runs.worker.running import Small, again, at_step, claimed


@pytest.mark.parametrize("commands", [("pause", "resume"), ("resume",), ("pause", "pause", "resume")])
def test_commands_sent_at_once_are_obeyed_in_order(store: Store, small: Small, commands: tuple[str, ...], look_always: None) -> None:
    run = claimed(store, small(epochs=1))
    ended = execute(store, run, listen=at_step(3, lambda: [store.send(run, command) for command in commands]))
    assert ended.status == "finished"


@pytest.mark.parametrize("commands", [("stop",), ("pause", "stop"), ("pause", "resume", "stop"), ("stop", "resume")])
def test_a_stop_is_never_lost(store: Store, small: Small, commands: tuple[str, ...], look_always: None) -> None:
    run = claimed(store, small(epochs=2))
    ended = execute(store, run, listen=at_step(21, lambda: [store.send(run, command) for command in commands]))
    assert (ended.status, ended.step, ended.epoch) == ("stopped", 21, 1)
    state = load_resume_state(ended.folder, run)
    assert state is not None
    assert state.state["step"] == 21
    assert ended.result["seconds"] > 0


def test_pause_is_seen_and_its_time_does_not_count(store: Store, small: Small, look_always: None, eventually: Callable[..., float]) -> None:
    run = claimed(store, small(epochs=1))

    def resume() -> None:
        eventually(lambda: store.run(run).status == "paused")
        time.sleep(1.2)
        store.send(run, "resume")

    def pause() -> None:
        store.send(run, "pause")
        threading.Thread(target=resume).start()

    ended = execute(store, run, listen=at_step(3, pause))
    assert ended.status == "finished"
    assert ended.started is not None
    assert ended.ended is not None
    assert ended.ended - ended.started > ended.result["seconds"] + 1


def test_a_reader_that_went_away_stops_the_run(store: Store, small: Small) -> None:
    def gone() -> None:
        raise BrokenPipeError

    run = claimed(store, small())
    ended = execute(store, run, listen=at_step(5, gone))
    assert (ended.status, ended.step) == ("stopped", 5)


def test_a_run_that_another_process_trains_is_refused(store: Store, small: Small) -> None:
    run = claimed(store, small())
    store.update(run, pid=os.getppid(), pid_start=start_time(os.getppid()))
    with pytest.raises(UserError) as caught:
        execute(store, run)
    assert caught.value.code == "run_busy"
    assert store.run(run).status == "running"
    waiting = store.create(small(), "cpu").run
    with pytest.raises(UserError, match="queued"):
        execute(store, waiting)


# -- going on ----------------------------------------------------------------------------------------------------------------------------


def test_going_on_after_a_damaged_state_ends_the_same(store: Store, small: Small, look_always: None) -> None:
    config = small(epochs=2, probe_every=5)
    whole = execute(store, claimed(store, config))
    run = claimed(store, config)
    stopped = execute(store, run, listen=at_step(25, lambda: store.send(run, "stop")))
    file = stopped.folder / NEWEST
    file.write_bytes(file.read_bytes()[:-1])
    ended = again(store, run)
    assert [notice.code for notice in read_notices(store, run)] == ["resume_older"]
    assert ended.result["weights_sha256"] == whole.result["weights_sha256"]
    assert read_steps(store, run).loss == read_steps(store, whole.run).loss


def test_both_states_damaged(store: Store, small: Small, look_always: None) -> None:
    run = claimed(store, small(epochs=2))
    stopped = execute(store, run, listen=at_step(25, lambda: store.send(run, "stop")))
    for file in stopped.folder.glob("resume*"):
        file.write_bytes(b"x")
    ended = again(store, run)
    assert (ended.status, ended.error and ended.error[0]) == ("failed", "resume_damaged")
    assert find_checkpoint(run).metrics["epoch"] == 1, "the weights are still there"


def test_a_state_of_another_network_does_not_fit(store: Store, small: Small, look_always: None) -> None:
    run = claimed(store, small(epochs=2))
    execute(store, run, listen=at_step(5, lambda: store.send(run, "stop")))
    store.update(run, config=small(epochs=2, model="resnet14").to_json())
    ended = again(store, run)
    assert (ended.status, ended.error and ended.error[0]) == ("failed", "resume_damaged")


def test_a_training_whose_images_changed_says_so_and_goes_on_exactly_once_they_are_back(
    store: Store, small: Small, digits: str, look_always: None
) -> None:
    config = small(epochs=2)
    whole = execute(store, claimed(store, config))
    run = claimed(store, config)
    execute(store, run, listen=at_step(25, lambda: store.send(run, "stop")))
    folder = Path(digits.removeprefix("image-folder:"))
    moved = folder / "train" / "3" / "0.png"
    away = moved.rename(folder / "0.png")
    try:
        ended = again(store, run)
    finally:
        away.rename(moved)
    assert (ended.status, ended.step) == ("failed", 25)
    assert ended.error == ("data_changed", {"dataset": digits, "before": 256, "now": 255})
    assert again(store, run).result["weights_sha256"] == whole.result["weights_sha256"]


def test_as_many_images_that_are_others_are_noticed(store: Store, small: Small, digits: str, look_always: None) -> None:
    """They would train, and be tested, under another mean and deviation than the epochs before."""
    run = claimed(store, small(epochs=2))
    execute(store, run, listen=at_step(25, lambda: store.send(run, "stop")))
    files = sorted(Path(digits.removeprefix("image-folder:")).glob("train/*/*.png"))
    kept = {file: file.read_bytes() for file in files}
    try:
        for file in files:
            ImageOps.invert(Image.open(file).convert("L")).save(file)
        ended = again(store, run)
    finally:
        for file, content in kept.items():
            file.write_bytes(content)
    assert ended.error is not None
    assert (ended.status, ended.error[0], ended.step) == ("failed", "data_other", 25)
    assert again(store, run).status == "finished"


def test_recordings_of_blocks_are_whole_after_a_stop_at_their_step(store: Store, small: Small, look_always: None) -> None:
    from resnet_core.runs import read_blocks

    config = small(epochs=1, probe_every=5)
    whole = execute(store, claimed(store, config))
    run = claimed(store, config)
    execute(store, run, listen=at_step(5, lambda: store.send(run, "stop")))
    again(store, run)
    assert read_blocks(store, run) == read_blocks(store, whole.run)
    assert list(read_blocks(store, run)) == [0, 5, 10, 15, 16]


# -- pairs, and other weights to start from ------------------------------------------------------------------------------------------------


def test_what_began_on_a_gpu_in_half_precision_goes_on_without_one(store: Store, small: Small, look_always: None) -> None:
    """As after an import: neither device nor precision are here, and float16 is none of a CPU's."""
    config = small(epochs=2)
    run = claimed(store, config)
    stopped = execute(store, run, listen=at_step(25, lambda: store.send(run, "stop")))
    state = load_resume_state(stopped.folder, run)
    assert state is not None
    state.state["plan"]["precision"] = "float16"
    save_resume_state(stopped.folder, state.state)
    there = dataclasses.replace(config, train=dataclasses.replace(config.train, device="cuda", precision="float16", memory_format="auto"))
    with store.connection(writing=True) as db:
        db.execute("UPDATE runs SET config = ? WHERE run = ?", (there.to_json(), run))
    if torch.cuda.is_available():
        pytest.skip("here it would go on as it began")
    ended = again(store, run)
    assert (ended.status, ended.epoch) == ("finished", 2)
    assert ended.facts["precision"] in ("float32", "bfloat16")
    (notice,) = read_notices(store, run)
    assert (notice.code, notice.values) == ("resumed_elsewhere", {"device": "cpu", "precision": ended.facts["precision"]})
    assert len(read_steps(store, run)) == ended.step


@pytest.mark.slow
@pytest.mark.long
def test_compiled_steps_are_the_same_steps(store: Store, small: Small) -> None:
    """torch.compile, where a C++ compiler is at hand."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler")
    plain, compiled = (execute(store, claimed(store, small(epochs=1, compile=on))) for on in (False, True))
    assert (plain.status, compiled.status) == ("finished", "finished")
    assert read_steps(store, compiled.run).loss == pytest.approx(read_steps(store, plain.run).loss, abs=1e-3)
