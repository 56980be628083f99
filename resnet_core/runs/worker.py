"""The process of one run: it trains, writes what happens, obeys commands, saves, and leaves a clear state however it ends."""

import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from resnet_core.data import Splits, load_splits
from resnet_core.data.writing import writing_to
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs.checkpoint import load_weights, read_checkpoint, save_checkpoint
from resnet_core.runs.metrics import RunWriter
from resnet_core.runs.opening import find_checkpoint
from resnet_core.runs.process import this_process
from resnet_core.runs.resume_state import load_resume_state, save_resume_state
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store
from resnet_core.training.device import ComputePlan, peak_memory, pick_device
from resnet_core.training.evaluate import Evaluation, evaluate
from resnet_core.training.events import EpochDone, Event, Noted, RunStarted, StepDone
from resnet_core.training.loop import Training

SAVE_SECONDS = 30.0  # between two resume states inside an epoch
SAVE_SHARE = 0.02  # of the time may go into them, when they are large
LOOK_SECONDS = 0.1  # between two looks for commands
Listener = Callable[[Event], None]


def execute(store: Store, run: str, *, listen: Listener = lambda event: None) -> Run:
    """Train a claimed run in this process until it is finished, stopped or failed; SIGTERM and Ctrl-C stop it as a person would."""
    found = store.run(run)
    writer = RunWriter(store, run)
    mark = this_process()
    try:
        writer.set(status="running", host=mark.host, pid=mark.pid, pid_start=mark.start, heartbeat=time.time())
        with _signals() as asked_to_stop:
            work = _Work(store, found, writer, listen, asked_to_stop)
            try:
                status, error = work.train(), None
            except UserError as problem:
                status, error = "failed", (problem.code, {key: _plain(value) for key, value in problem.values.items()})
            except torch.OutOfMemoryError:
                size = found.config.train.batch_size
                status, error = "failed", ("out_of_memory", {"batch_size": size, "suggestion": max(size // 2, 1)})
            except Exception as problem:  # the worker's border: the log keeps the trace, the row keeps the sentence
                logging.getLogger(__name__).exception("run %s failed", run)
                status, error = "failed", ("run_failed", {"reason": f"{type(problem).__name__}: {problem}"})
        _finish(writer, status, error)
    finally:
        writer.close()
    return store.run(run)


def _finish(writer: RunWriter, status: str, error: tuple[str, dict[str, Any]] | None) -> None:
    columns: dict[str, Any] = {"status": status, "ended": time.time()}
    if error is not None:
        columns |= {"error_code": error[0], "error_values": error[1]}
    writer.set(**columns)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Set when the process is asked to end; the training then saves and stops."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Work:
    """One training with its saves and commands; `train` returns the status in which it ended."""

    def __init__(self, store: Store, run: Run, writer: RunWriter, listen: Listener, asked_to_stop: threading.Event) -> None:
        self.store, self.run, self.writer, self.listen, self.asked_to_stop = store, run, writer, listen, asked_to_stop
        self.folder = run.folder
        self.last_epoch: EpochDone | None = None
        self.seconds = float(run.result.get("seconds", 0.0))
        self._began = time.perf_counter()
        self._saved, self._save_took, self._looked = time.monotonic(), 0.0, 0.0

    def train(self) -> str:
        self._make_folder()
        config = self.run.config
        device = pick_device(config.train.device)
        if device.type == "cpu" and os.environ.get("RESNET_NICE"):
            os.nice(int(os.environ["RESNET_NICE"]))
        splits = load_splits(config.data, device=device)
        resumed = load_resume_state(self.folder, self.run.run)
        state = resumed.state if resumed is not None else None
        self.training = Training(
            config, splits, device=device, resume=state, plan=None if state else self._plan_of_pair(), start_weights=self._start_weights()
        )
        if resumed is not None:
            self.writer.forget_after(self.training.step, self.training.epochs_done)
            if resumed.damaged is not None:
                self._tell(Noted(code="resume_older", values={"reason": resumed.damaged}))
        else:
            self._save_weights("first", {"epoch": 0, "step": 0})
            self._save_state()
        return self._follow(splits)

    def _follow(self, splits: Splits) -> str:
        try:
            for event in self.training.events():
                self._tell(event)
                if isinstance(event, EpochDone):
                    self._keep_epoch(event)
                if not self._may_go_on():
                    self._remember_seconds()
                    return "stopped"
        except UserError as error:
            if error.code == "loss_not_finite":
                self._keep_last_good()
            raise
        self._conclude(splits)
        return "finished"

    # -- saving ---------------------------------------------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(".*.safetensors.*"):
                leftover.unlink(missing_ok=True)
            for leftover in self.folder.glob(".resume.pt*"):
                leftover.unlink(missing_ok=True)

    def _keep_epoch(self, event: EpochDone) -> None:
        """Weights first, then the state that continues from them."""
        self.last_epoch = event
        metrics = _epoch_metrics(event)
        self._save_weights("last", metrics)
        if event.best:
            self._save_weights("best", metrics)
        every = self.run.config.train.keep_every
        if every is not None and event.epoch % every == 0:
            self._save_weights(f"epoch-{event.epoch}", metrics)
        self._save_state()
        self.writer.flush()

    def _keep_last_good(self) -> None:
        """A NaN in the first epoch: nothing was kept yet, so keep the weights from before it, which are finite."""
        weights = self.training.weights()
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
        if self.training.epochs_done == 0 and finite:
            self._save_weights("last", {"epoch": 0, "step": self.training.step})

    def _save_weights(self, name: str, metrics: dict[str, Any]) -> str:
        metrics = {**metrics, "run": self.run.run, "precision": self.training.plan.precision}
        return save_checkpoint(self.folder / f"{name}.safetensors", self.training.weights(), self.run.config, self.training.spec, metrics)

    def _save_state(self) -> None:
        start = time.monotonic()
        save_resume_state(self.folder, self.training.state_dict())
        self._saved = time.monotonic()
        self._save_took = self._saved - start

    def _save_state_if_due(self) -> None:
        """Inside an epoch a failed save is no reason to lose the training: it is noted, and tried again."""
        if time.monotonic() - self._saved < max(SAVE_SECONDS, self._save_took / SAVE_SHARE):
            return
        try:
            self._save_state()
        except UserError as error:
            self._saved = time.monotonic()
            self._tell(Noted(code="state_not_saved", values={"reason": str(error.values.get("reason", error))}))

    # -- commands ------------------------------------------------------------------------------------------------------------------

    def _may_go_on(self) -> bool:
        """Obey what was asked for; False when the training is to stop, its state saved."""
        if self.asked_to_stop.is_set():
            return self._stop()
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return True
        self._looked = time.monotonic()
        for command in self.writer.commands():
            if command == "stop" or (command == "pause" and not self._pause()):
                return self._stop()
        self._save_state_if_due()
        return True

    def _stop(self) -> bool:
        self._save_state()
        return False

    def _pause(self) -> bool:
        """Wait until resumed (True) or told to stop (False)."""
        self._save_state()
        self.writer.set(status="paused")
        while True:
            if self.asked_to_stop.wait(LOOK_SECONDS):
                return False
            commands = self.writer.commands()
            if "stop" in commands:
                return False
            if "resume" in commands:
                self.writer.set(status="running")
                return True
            if time.monotonic() - self._looked > 5:
                self._looked = time.monotonic()
                self.writer.flush()  # a heartbeat

    # -- beginning and end -----------------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        self.writer.write(event)
        if isinstance(event, StepDone | RunStarted | EpochDone | Noted):
            self.listen(event)
        if isinstance(event, RunStarted):
            self.writer.flush()

    def _plan_of_pair(self) -> ComputePlan | None:
        """Both members of a pair compute in the same precision and memory order: what the first one chose."""
        for other in self.store.pair_of(self.run):
            if other.run != self.run.run and other.facts and other.device == self.run.device:
                return ComputePlan(precision=other.facts["precision"], memory_format=other.facts["memory_format"], timings={})
        return None

    def _start_weights(self) -> dict[str, torch.Tensor] | None:
        if self.run.config.train.start_from is None:
            return None
        return load_weights(find_checkpoint(self.run.config.train.start_from, store=self.store))

    def _remember_seconds(self) -> None:
        self.writer.set(result={**self.run.result, "seconds": self.seconds + time.perf_counter() - self._began})

    def _conclude(self, splits: Splits) -> None:
        """Measure the result on the test split, once: the last epoch's weights, or the best epoch's after early stopping."""
        train = self.run.config.train
        tested = "last" if train.patience is None else "best"
        checkpoint = read_checkpoint(self.folder / f"{tested}.safetensors")
        weights = load_weights(checkpoint)
        model = build_model(self.run.config.model, splits.spec, seed=None, device=self.training.device)
        model.load_state_dict(weights)
        seconds = self.seconds + time.perf_counter() - self._began
        test = evaluate(model, splits.test, splits.spec, device=self.training.device)
        sha256 = self._save_final(tested, checkpoint.metrics, test, weights, seconds)
        if self.training.epochs_done < train.epochs:
            self._tell(Noted(code="early_stopped", values={"epochs": self.training.stale_epochs}))
        result = {
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "test_images": test.n,
            "tested": tested,
            "weights_sha256": sha256,
            "seconds": seconds,
            "peak_memory": peak_memory(self.training.device),
        }
        self.writer.set(result=result)

    def _save_final(self, tested: str, metrics: Any, test: Evaluation, weights: dict[str, torch.Tensor], seconds: float) -> str:
        measured = {**metrics, "test_accuracy": test.accuracy, "test_loss": test.loss, "test_images": test.n, "seconds": seconds}
        return save_checkpoint(self.folder / f"{tested}.safetensors", weights, self.run.config, self.training.spec, measured)


def _epoch_metrics(event: EpochDone) -> dict[str, Any]:
    row = dataclasses.asdict(event)
    return {key: row[key] for key in ("epoch", "step", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy")}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
