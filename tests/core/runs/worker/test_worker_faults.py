"""However a training fails, it ends in a state that says so."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
import torch

from resnet_core.errors import UserError
from resnet_core.models import ResNet
from resnet_core.runs import Store, find_checkpoint, load_weights, read_checkpoint, read_notices, read_steps, worker
from resnet_core.runs.metrics import RunWriter
from resnet_core.runs.worker import execute
from resnet_core.training import Event, StepDone
from resnet_core.training.loop import Training
from tests.core.runs.worker.running import Small, again, at_step, claimed


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


@pytest.mark.parametrize("epoch", [1, 2, 3], ids=["first", "middle", "last"])
def test_an_update_that_breaks_the_weights_at_the_end_of_an_epoch(
    store: Store, small: Small, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    """Its own loss was fine, and no later one is there to tell: the weights themselves are looked at before they replace good ones."""
    original = Training._update

    def broken(self: Training, *arguments: torch.Tensor) -> object:
        done = original(self, *arguments)
        if self.step == epoch * self.steps_per_epoch:
            with torch.no_grad():
                next(self.model.parameters()).view(-1)[0] = float("nan")
        return done

    monkeypatch.setattr(Training, "_update", broken)
    run = claimed(store, small(epochs=3))
    ended = execute(store, run)
    assert ended.error is not None
    assert (ended.status, ended.error[0], ended.epoch) == ("failed", "loss_not_finite", epoch - 1)
    assert ended.error[1]["step"] == epoch * ended.facts["steps_per_epoch"]
    kept = find_checkpoint(run)
    assert kept.metrics["epoch"] == epoch - 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in load_weights(kept).values())


def test_a_librarys_long_words_are_cut(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Training, *arguments: torch.Tensor) -> object:
        raise RuntimeError("the compiler said " + "no " * 100_000)

    monkeypatch.setattr(Training, "_update", broken)
    ended = execute(store, claimed(store, small()))
    assert ended.error is not None
    assert (ended.status, ended.error[0]) == ("failed", "run_failed")
    assert ended.error[1]["reason"].startswith("RuntimeError: the compiler said no no")
    assert len(ended.error[1]["reason"]) <= 300


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


def test_a_store_that_is_locked_over_the_end_of_an_epoch(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program holds it for longer than a save waits: nothing is lost, and the run says what it could not do meanwhile."""
    monkeypatch.setattr(RunWriter.flush, "__defaults__", (0.1,))
    other = sqlite3.connect(store.path, isolation_level=None)
    run = claimed(store, small(epochs=3))

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.epoch == 1 and not other.in_transaction:
            other.execute("BEGIN IMMEDIATE")
        elif isinstance(event, StepDone) and event.epoch == 2 and other.in_transaction:
            other.execute("ROLLBACK")

    ended = execute(store, run, listen=listen)
    other.close()
    assert (ended.status, ended.epoch) == ("finished", 3)
    assert len(read_steps(store, run)) == ended.step
    assert [notice.code for notice in read_notices(store, run)] == ["state_not_saved"]
