"""The worker in this process: how a training ends, whatever goes wrong."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_core.calibration import fit_temperature
from resnet_core.config import RunConfig
from resnet_core.data import load_splits
from resnet_core.errors import UserError
from resnet_core.models import ResNet
from resnet_core.runs import (
    Run,
    Store,
    checkpoints_of,
    find_checkpoint,
    load_model,
    load_weights,
    read_checkpoint,
    read_epochs,
    read_notices,
    read_steps,
    worker,
)  # fmt: skip
from resnet_core.runs.process import start_time
from resnet_core.runs.resume_state import NEWEST, load_resume_state
from resnet_core.runs.worker import execute
from resnet_core.training import EpochDone, Event, RunStarted, StepDone, evaluate
from resnet_core.training.loop import Training

Small = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def _signals_stay_with_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda number, handler: None)


def claimed(store: Store, config: RunConfig, **options: Any) -> str:
    run = store.create(config, "cpu", **options).run
    assert store.claim("cpu", run) == run
    return run


def again(store: Store, run: str, **options: Any) -> Run:
    store.requeue(run)
    assert store.claim("cpu", run) == run
    return execute(store, run, **options)


def at_step(number: int, action: Callable[[], object]) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == number:
            action()

    return listen


@pytest.fixture
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.0)


def test_a_whole_run_is_the_training_itself(store: Store, small: Small) -> None:
    """Everything in the store and in the files is what train() and evaluate() give when they are called directly."""
    config = small(epochs=2, keep_every=1)
    run = claimed(store, config)
    ended = execute(store, run)
    splits = load_splits(config.data)
    training = Training(config, splits, device=torch.device("cpu"))
    events = list(training.events())
    assert read_steps(store, run).loss == [event.loss for event in events if isinstance(event, StepDone)]
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [(row.valid_loss, row.train_accuracy) for row in read_epochs(store, run)] == [(e.valid_loss, e.train_accuracy) for e in epochs]
    last = read_checkpoint(ended.folder / "last.safetensors")
    assert all(torch.equal(tensor, training.model.state_dict()[name]) for name, tensor in load_weights(last).items())
    test = evaluate(training.model, splits.test, splits.spec)
    assert (ended.status, ended.test_accuracy, ended.result["test_loss"]) == ("finished", test.accuracy, test.loss)
    assert (last.metrics["test_accuracy"], last.metrics["epoch"], last.metrics["step"]) == (test.accuracy, 2, 32)
    assert ended.result["weights_sha256"] == last.weights_sha256
    assert checkpoints_of(ended.folder) == ("first", "epoch-1", "epoch-2", "last", "best")
    assert find_checkpoint(run).weights_sha256 == last.weights_sha256
    (facts,) = [event for event in events if isinstance(event, RunStarted)]
    assert ended.facts == vars(facts)
    assert ended.error is None
    assert ended.ended is not None


def test_first_is_the_network_before_its_first_step(store: Store, small: Small) -> None:
    run = claimed(store, small(epochs=1, seed=4))
    ended = execute(store, run)
    from resnet_core.runs import initial_model

    first = read_checkpoint(ended.folder / "first.safetensors")
    drawn = initial_model(first).state_dict()
    assert all(torch.equal(tensor, drawn[name]) for name, tensor in load_weights(first).items())


@pytest.mark.parametrize("rate", [1000.0, 100.0])
def test_a_loss_that_is_no_number_ends_the_run_at_once(store: Store, small: Small, rate: float) -> None:
    run = claimed(store, small(learning_rate=rate, schedule="constant", norm="none", epochs=3))
    ended = execute(store, run)
    assert ended.status == "failed"
    assert ended.error is not None
    code, values = ended.error
    assert code == "loss_not_finite"
    assert (values["learning_rate"], values["step"]) == (rate, len(read_steps(store, run)) + 1)
    assert not ended.is_resumable
    kept = find_checkpoint(run)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in load_weights(kept).values())
    assert kept.metrics["step"] in (0, values["step"] - 1)


def test_a_nan_later_keeps_the_last_epoch(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Training._update

    def broken(self: Training, *arguments: torch.Tensor) -> object:
        if self.step == 20:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        return original(self, *arguments)

    monkeypatch.setattr(Training, "_update", broken)
    run = claimed(store, small(epochs=3))
    ended = execute(store, run)
    assert (ended.status, ended.error and ended.error[0], ended.epoch) == ("failed", "loss_not_finite", 1)
    kept = find_checkpoint(run)
    assert kept.metrics["epoch"] == 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in load_weights(kept).values())


def test_nan_weights_in_the_first_epoch_leave_the_first_ones(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where the update was made before the loss was seen."""

    def broken(self: Training, loss: float, step: int, rate: float) -> None:
        with torch.no_grad():
            next(self.model.parameters()).fill_(float("nan"))
        raise UserError("loss_not_finite", value=float("nan"), step=step, learning_rate=rate)

    monkeypatch.setattr(Training, "_raise_unless_finite", broken)
    run = claimed(store, small())
    assert execute(store, run).status == "failed"
    assert find_checkpoint(run).weights_sha256 == find_checkpoint(f"{run}@first").weights_sha256


def break_writes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)


@pytest.mark.parametrize(("number", "code"), [(28, "disk_full"), (30, "not_writable")])
def test_a_disk_that_takes_nothing_more(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    run = claimed(store, small(epochs=3))
    ended = execute(store, run, listen=at_step(20, lambda: break_writes(monkeypatch, number)))
    assert (ended.status, ended.error and ended.error[0]) == ("failed", code)
    assert read_checkpoint(ended.folder / "last.safetensors").metrics["epoch"] == 1
    assert ended.is_resumable
    monkeypatch.undo()
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    unbroken = execute(store, claimed(store, small(epochs=3)))
    assert again(store, run).result["weights_sha256"] == unbroken.result["weights_sha256"]


@pytest.mark.parametrize("left", [60_000, 0])
def test_a_real_full_disk(tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    """A small file system of its own, on which something else leaves 60 kB, too little for the next state, or nothing at all."""
    root = tmp_path / "small"
    root.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=8m residual-lens-test {root} 2>/dev/null") != 0:
        pytest.skip("needs the right to mount a small file system")

    def fill() -> None:
        room = os.statvfs(root)
        (root / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize - left))

    try:
        monkeypatch.setenv("RESNET_RUNS", str(root))
        store = Store()
        run = claimed(store, small(epochs=2))
        ended = execute(store, run, listen=at_step(5, fill))
        assert (ended.status, ended.error and ended.error[0]) == ("failed", "disk_full")
        assert not (ended.folder / worker.RESERVE).exists()
        assert not list(store.run(run).folder.glob(".*")), "no torn file takes the last room"
        (root / "ballast").unlink(missing_ok=True)
        assert again(store, run).status == "finished"
        load_weights(find_checkpoint(run))
    finally:
        os.system(f"umount {root}")


def test_a_failed_save_between_epochs_is_noted_and_tried_again(
    store: Store, small: Small, monkeypatch: pytest.MonkeyPatch, look_always: None
) -> None:
    monkeypatch.setattr(worker, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(worker, "SAVE_SHARE", 1e9)
    original = os.fsync

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            break_writes(monkeypatch, 28)
        if isinstance(event, StepDone) and event.step == 6:
            monkeypatch.setattr("os.fsync", original)

    run = claimed(store, small(epochs=1))
    ended = execute(store, run, listen=listen)
    assert ended.status == "finished"
    notices = read_notices(store, run)
    assert {notice.code for notice in notices} == {"state_not_saved"}
    assert [notice.step for notice in notices] == [3, 4, 5]


def test_a_file_in_the_place_of_the_run_folder(store: Store, small: Small) -> None:
    run = claimed(store, small())
    store.run(run).folder.write_text("in the way")
    ended = execute(store, run)
    assert (ended.status, ended.error and ended.error[0]) == ("failed", "not_writable")
    store.run(run).folder.unlink()
    assert again(store, run).status == "finished"


def test_a_run_folder_deleted_while_training(store: Store, small: Small) -> None:
    """What comes after is saved into a new folder, and the end is the same."""
    run = claimed(store, small(epochs=3, patience=5))
    ended = execute(store, run, listen=at_step(20, lambda: shutil.rmtree(store.run(run).folder)))
    assert ended.status == "finished"
    assert ended.result["weights_sha256"] == find_checkpoint(run).weights_sha256
    assert ended.test_accuracy is not None


def test_a_store_deleted_while_training_ends_with_a_sentence(store: Store, small: Small) -> None:
    run = claimed(store, small(epochs=3))
    with pytest.raises(UserError) as caught:
        execute(store, run, listen=at_step(20, lambda: shutil.rmtree(store.root)))
    assert caught.value.code in ("not_writable", "store_damaged", "run_missing")


def test_an_error_of_ours_is_said_too(
    store: Store, small: Small, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = claimed(store, small())

    def broken(self: Training, *arguments: torch.Tensor) -> object:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Training, "_update", broken)
    ended = execute(store, run)
    assert (ended.status, ended.error) == ("failed", ("run_failed", {"reason": "ZeroDivisionError: by zero"}))
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("you can't allocate memory")])
def test_out_of_memory_names_a_batch_size(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    run = claimed(store, small())

    def broken(self: Training, *arguments: torch.Tensor) -> object:
        raise error

    monkeypatch.setattr(Training, "_update", broken)
    expected = 2 if isinstance(error, torch.OutOfMemoryError) else 8  # a GPU's error can be asked again, with ever smaller batches
    assert execute(store, run).error == ("out_of_memory", {"batch_size": 16, "suggestion": expected})


def test_a_gpu_that_is_too_small_is_asked_which_batch_fits(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that can hold five images: of 8, 4, 2 the largest that fits is 4."""
    original = ResNet.forward

    def forward(self: ResNet, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, images)

    monkeypatch.setattr(ResNet, "forward", forward)
    ended = execute(store, claimed(store, small()))
    assert (ended.status, ended.error) == ("failed", ("out_of_memory", {"batch_size": 16, "suggestion": 4}))
    assert ended.is_resumable


def test_a_missing_data_set_fails_with_its_remedy(store: Store, small: Small) -> None:
    ended = execute(store, claimed(store, small(dataset="cifar100")))
    assert (ended.status, ended.error and ended.error[0]) == ("failed", "data_missing")


def test_rows_are_in_the_store_before_the_state_that_goes_on_after_them(
    store: Store, small: Small, monkeypatch: pytest.MonkeyPatch, look_always: None
) -> None:
    """A process killed right after any save has told of every step up to it, and of every epoch."""
    monkeypatch.setattr(worker, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(worker, "SAVE_SHARE", 1e9)
    original, saves = worker.save_resume_state, []

    def save(folder: Path, state: dict[str, Any]) -> None:
        saves.append(state["step"])
        assert read_steps(store, run).step == list(range(1, state["step"] + 1))
        assert [row.epoch for row in read_epochs(store, run)] == list(range(1, state["epochs_done"] + 1))
        original(folder, state)

    monkeypatch.setattr(worker, "save_resume_state", save)
    run = claimed(store, small(epochs=2))
    assert execute(store, run).status == "finished"
    assert set(saves) == set(range(33))


# -- commands ------------------------------------------------------------------------------------------------------------------------


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


def test_a_pair_shares_precision_and_memory_order(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []

    def plan(self: Training) -> object:
        planned.append(self.config.model.model)
        return worker.ComputePlan(precision="float32", memory_format="channels_last", timings={"x": 1.0})

    monkeypatch.setattr(Training, "_plan", plan)
    auto = {"precision": "auto", "memory_format": "auto", "epochs": 1}
    first = store.create(small(**auto), "cpu", pair="p").run
    second = store.create(small(model="plain8", **auto), "cpu", pair="p").run
    alone = store.create(small(model="plain8", **auto), "cpu").run
    chosen = store.create(small(model="plain8", **{**auto, "memory_format": "contiguous"}), "cpu", pair="p").run
    for run in (first, second, alone, chosen):
        store.claim("cpu", run)
        execute(store, run)
    assert planned == ["resnet8", "plain8", "plain8"], "not asked again for the second of the pair"
    facts = store.run(second).facts
    assert (facts["precision"], facts["memory_format"]) == ("float32", "channels_last")


def test_the_pair_starts_with_the_same_weights_and_sees_the_same_order(store: Store, small: Small) -> None:
    runs = [claimed_and_ended(store, small(model=model, epochs=1)) for model in ("resnet8", "plain8")]
    first = [load_weights(find_checkpoint(f"{run}@first")) for run in runs]
    assert set(first[0]) == set(first[1])
    assert all(torch.equal(tensor, first[1][name]) for name, tensor in first[0].items())


def claimed_and_ended(store: Store, config: RunConfig) -> str:
    run = claimed(store, config)
    execute(store, run)
    return run


def test_starting_from_another_runs_weights(store: Store, small: Small) -> None:
    source = claimed_and_ended(store, small(epochs=1))
    run = claimed_and_ended(store, small(epochs=1, start_from=source, seed=9))
    assert find_checkpoint(f"{run}@first").weights_sha256 == find_checkpoint(source).weights_sha256
    other = execute(store, claimed(store, small(model="resnet14", start_from=source)))
    assert (other.status, other.error and other.error[0]) == ("failed", "weights_do_not_fit")


def test_the_result_is_what_load_model_gives(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_core.calibration.LEAST_IMAGES", 10)
    config = small(epochs=1)
    run = claimed_and_ended(store, config)
    splits = load_splits(config.data)
    assert evaluate(load_model(find_checkpoint(run)), splits.test, splits.spec).accuracy == store.run(run).test_accuracy
    valid = evaluate(load_model(find_checkpoint(run)), splits.valid, splits.spec)
    assert find_checkpoint(run).metrics["temperature"] == fit_temperature(valid.logits, splits.valid.labels)
