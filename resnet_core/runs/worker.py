"""The process of one run: it trains, writes what happens, obeys commands, saves, and leaves a clear state however it ends."""

import dataclasses
import json
import logging
import os
import re
import signal
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from resnet_core.calibration import fit_temperature
from resnet_core.config import RunConfig
from resnet_core.data import Splits, load_splits
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.models.foreign import FittedWeights
from resnet_core.runs.checkpoint import FIRST, SUFFIX, load_weights, read_checkpoint, save_checkpoint
from resnet_core.runs.metrics import RunWriter
from resnet_core.runs.process import parent_process, step_back, this_process
from resnet_core.runs.resume_state import ResumeState, load_resume_state, save_resume_state
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store
from resnet_core.runs.transfer import Transfer, start_weights
from resnet_core.training.device import COMPUTED, ComputePlan, candidates, peak_memory, pick_device
from resnet_core.training.evaluate import Evaluation, evaluate
from resnet_core.training.events import EpochDone, Event, Noted, RunStarted, StepDone
from resnet_core.training.loop import Training
from resnet_core.training.team import ALONE, Team
from resnet_core.writing import writing_to

SAVE_SECONDS = 30.0  # between two resume states inside an epoch
SAVE_SHARE = 0.02  # of the time may go into them, when they are large
LOOK_SECONDS = 0.1  # between two looks for commands
HEARTBEAT_SECONDS = 5.0  # between two signs of life while paused
RESERVE, RESERVE_BYTES = "reserve", 512 * 1024  # a file in the run's folder whose room the last row gets on a full disk
LONGEST_REASON = 300  # characters of a library's own words
Listener = Callable[[Event], None]


def execute(store: Store, run: str, *, listen: Listener = lambda event: None, team: Team = ALONE) -> Run:
    """Train a claimed run in this process until it is finished, stopped or failed; SIGTERM and Ctrl-C stop it as a person would.

    With a team this is the leading process; the others `follow`.
    """
    found = store.run(run)
    mark = this_process()
    if found.status != "running":
        raise UserError("run_not_active", run=run, status=found.status, command="train")
    if found.mark not in (None, mark) and (team.is_alone or found.mark != parent_process()):  # torchrun was given the turn
        raise UserError("run_busy", run=run, status=found.status)
    writer = RunWriter(store, run)
    try:
        writer.set(status="running", host=mark.host, pid=mark.pid, pid_start=mark.start, heartbeat=time.time())
        with _signals(team) as asked_to_stop:
            work = _Work(store, found, writer, listen, asked_to_stop, team)
            try:
                status, error = work.train(), None
            except Exception as problem:  # noqa: BLE001 - the worker's border: the log keeps the trace, the row keeps the sentence
                status, error = "failed", work.said(problem)
                if asked_to_stop.is_set() and found.config.train.compile and error[0] == "run_failed":
                    status, error = "stopped", None  # the signal also ended a compiler that the step was waiting for
            _finish(writer, found.folder, status, error)
    finally:
        writer.close()
        _give_reserve(found.folder)
    return store.run(run)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Orders:
    """What the other processes of a team must know to make the same Training."""

    config: RunConfig
    state: dict[str, Any] | None
    start_weights: dict[str, torch.Tensor] | None


def follow(team: Team) -> bool:
    """Train as one of a team that does not lead, without a word to the store; False where it could not be done to the end."""
    orders: _Orders | None = None
    with _signals(team) as asked_to_stop:
        try:
            orders = team.tell()
            if orders is None:  # nothing came of it
                return True
            device = _device(orders.config, goes_on=orders.state is not None)
            _step_back(device)
            splits = load_splits(orders.config.data, device=device)
            training = Training(orders.config, splits, device=device, resume=orders.state, start_weights=orders.start_weights, team=team)
            for event in training.events():
                if _is_complete(event, training) and team.any(asked_to_stop.is_set()):
                    break
        except Exception as problem:  # noqa: BLE001 - the leading process says it
            if not team.is_broken_by(problem) and orders is not None:
                team.report(json.dumps(_said(problem, orders.config, team)))
            return isinstance(problem, UserError) and problem.code == "loss_not_finite"  # which every process sees
    return True


def _is_complete(event: Event, training: Training) -> bool:
    """A GPU tells of several steps at once, and the state is that of the last one: only then may the training end."""
    return not isinstance(event, StepDone) or event.step == training.step


def _step_back(device: torch.device) -> None:
    if device.type == "cpu" and os.environ.get("RESNET_NICE"):
        step_back(int(os.environ["RESNET_NICE"]))


def _device(config: RunConfig, *, goes_on: bool) -> torch.device:
    """The one that was asked for; a training that `goes_on` may have begun on a machine that has another."""
    try:
        return pick_device(config.train.device)
    except UserError:
        if not goes_on:
            raise
        return pick_device()


def _said(problem: Exception, config: RunConfig, team: Team) -> tuple[str, dict[str, Any]]:
    """The code of the sentence that tells a person about it, with its values."""
    if team.is_broken_by(problem):
        trouble = team.trouble()
        if trouble is not None:
            code, values = json.loads(trouble)
            return code, values
        return "team_broken", {"reason": _first_sentence(problem)}
    if isinstance(problem, UserError):
        return problem.code, {key: _plain(value) for key, value in problem.values.items()}
    if isinstance(problem, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(problem):
        size = config.train.batch_size
        return "out_of_memory", {"batch_size": size, "suggestion": max(size // 2, 1)}
    logging.getLogger(__name__).error("the training failed", exc_info=problem)
    return "run_failed", {"reason": textwrap.shorten(f"{type(problem).__name__}: {_first_sentence(problem)}", LONGEST_REASON)}


def _finish(writer: RunWriter, folder: Path, status: str, error: tuple[str, dict[str, Any]] | None) -> None:
    """On a full disk the run's reserve makes room for the row, and rows that a resume would write again are left out."""
    columns: dict[str, Any] = {"status": status, "ended": time.time()}
    if error is not None:
        columns |= {"error_code": error[0], "error_values": error[1]}
    try:
        writer.set(**columns)
    except UserError as problem:
        if problem.code != "disk_full":
            raise
        _give_reserve(folder)
        writer.drop_rows()
        writer.set(**columns)


def _give_reserve(folder: Path) -> None:
    with suppress(OSError):  # there may be no such folder
        (folder / RESERVE).unlink()


def _first_sentence(problem: Exception) -> str:
    """What happened, without the place in a library's source before it and its advice behind it."""
    line = (str(problem).strip() or type(problem).__name__).splitlines()[0]
    return re.sub(r"^\[\S+:\d+\] ", "", line).split(". ")[0]


@contextmanager
def _signals(team: Team = ALONE) -> Iterator[threading.Event]:
    """Set when the process is asked to end; the training then saves and stops."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before: dict[int, Any] = {}

    def ask(number: int, frame: object) -> None:
        asked.set()
        if team.is_alone:
            signal.signal(number, before[number])  # a second one ends the process as ever; torchrun repeats what a terminal sent

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, ask)
    try:
        yield asked
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


class _Work:
    """One training with its saves and commands; `train` returns the status in which it ended."""

    def __init__(
        self, store: Store, run: Run, writer: RunWriter, listen: Listener, asked_to_stop: threading.Event, team: Team = ALONE
    ) -> None:
        self.store, self.run, self.writer, self.listen, self.asked_to_stop, self.team = store, run, writer, listen, asked_to_stop, team
        self.folder = run.folder
        self._seconds_before = float(run.result.get("seconds", 0.0))
        self._began = time.perf_counter()  # moved on by every pause
        self._saved, self._save_took, self._looked = time.monotonic(), 0.0, 0.0

    def train(self) -> str:
        self._make_folder()
        config = self.run.config
        resumed = load_resume_state(self.folder, self.run.run)
        device = _device(config, goes_on=resumed is not None)
        _step_back(device)
        splits = load_splits(config.data, device=device)
        found = self._start_weights(splits) if resumed is None else None
        start = found.weights if found is not None else None
        self.team.tell(_Orders(config=config, state=resumed.state if resumed is not None else None, start_weights=start))
        if resumed is not None:
            self.training = self._resumed_training(splits, device, resumed.state)
        else:
            self.training = Training(config, splits, device=device, plan=self._plan_of_pair(), start_weights=start, team=self.team)
        self.writer.forget_after(self.training.step, self.training.epochs_done)
        if resumed is None:
            self._save_weights(FIRST, {"epoch": 0, "step": 0})
            self._save_state()
        else:
            self._tell_of_resume(resumed, device)
        return self._follow(splits)

    def _tell_of_resume(self, resumed: ResumeState, device: torch.device) -> None:
        """What a person should know of how it goes on."""
        if resumed.damaged is not None:
            self._tell(Noted(code="resume_older", values={"reason": resumed.damaged}))
        before, now = resumed.state["plan"]["precision"], self.training.plan.precision
        if self.run.config.train.device not in ("auto", device.type) or before != now:
            self._tell(Noted(code="resumed_elsewhere", values={"device": device.type, "precision": now}))

    def said(self, problem: Exception) -> tuple[str, dict[str, Any]]:
        """As `_said`; a GPU that was too small is asked for a batch that fits."""
        code, values = _said(problem, self.run.config, self.team)
        training: Training | None = getattr(self, "training", None)  # not there where reading the images was too much already
        if isinstance(problem, torch.OutOfMemoryError) and training is not None and self.team.is_alone:
            traceback.clear_frames(problem.__traceback__)  # they hold what did not fit
            values["suggestion"] = training.fitting_batch_size()
        return code, values

    def _resumed_training(self, splits: Splits, device: torch.device, state: dict[str, Any]) -> Training:
        try:
            return Training(self.run.config, splits, device=device, resume=state, team=self.team)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            if isinstance(error, UserError | torch.OutOfMemoryError):
                raise
            reason = f"it does not fit the run's settings: {str(error).splitlines()[0]}"
            raise UserError("resume_damaged", run=self.run.run, reason=reason) from error

    def _follow(self, splits: Splits) -> str:
        try:
            for event in self.training.events():
                self._tell(event)
                if isinstance(event, EpochDone):
                    self._keep_epoch(event)
                if not self._may_go_on(event):
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
            (self.folder / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))  # zeros might take no room

    def _keep_epoch(self, event: EpochDone) -> None:
        """Weights first, then the state that continues from them."""
        metrics = _epoch_metrics(event)
        self._save_weights("last", metrics)
        if event.best:
            self._save_weights("best", metrics)
        every = self.run.config.train.keep_every
        if every is not None and event.epoch % every == 0:
            self._save_weights(f"epoch-{event.epoch}", metrics)
        self._save_state_or_note("store_locked")

    def _keep_last_good(self) -> None:
        """A NaN in the first epoch: nothing was kept yet, so keep the weights from before it, or where they began if these are broken."""
        if self.training.epochs_done > 0:
            return
        weights = self.training.weights()
        if all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
            self._save_weights("last", {"epoch": 0, "step": self.training.step})
        else:
            first = read_checkpoint(self.folder / f"{FIRST}{SUFFIX}")
            save_checkpoint(self.folder / f"last{SUFFIX}", load_weights(first), first.config, first.spec, first.metrics)

    def _save_weights(self, name: str, metrics: dict[str, Any]) -> str:
        metrics = {**metrics, "run": self.run.run, "precision": self.training.plan.precision}
        return save_checkpoint(self.folder / f"{name}{SUFFIX}", self.training.weights(), self.run.config, self.training.spec, metrics)

    def _save_state(self) -> None:
        """Rows first: whatever happens next, the store then knows every step up to the state from which a resume goes on."""
        start = time.monotonic()
        self.writer.put(result={**self.run.result, "seconds": self._seconds()})
        self.writer.flush()
        save_resume_state(self.folder, self.training.state_dict())
        self._saved = time.monotonic()
        self._save_took = self._saved - start

    def _save_state_if_due(self) -> None:
        """Inside an epoch, or for a pause, a failed save is no reason to lose the training: it is noted, and tried again."""
        if time.monotonic() - self._saved >= max(SAVE_SECONDS, self._save_took / SAVE_SHARE):
            self._save_state_or_note()

    def _save_state_or_note(self, *passing: str) -> None:
        """Of an error that is none of the `passing` ones, where these are named, the training ends."""
        try:
            self._save_state()
        except UserError as error:
            if passing and error.code not in passing:
                raise
            self._saved = time.monotonic()
            self._tell(Noted(code="state_not_saved", values={"reason": str(error.values.get("reason", error))}))

    # -- commands ------------------------------------------------------------------------------------------------------------------

    def _may_go_on(self, event: Event) -> bool:
        """Obey what was asked for; False when the training is to stop, its state saved."""
        if not _is_complete(event, self.training):
            return True
        looked = not self.asked_to_stop.is_set() and time.monotonic() - self._looked >= LOOK_SECONDS
        if looked:
            self._looked = time.monotonic()
        stops = not self._obey(self.writer.commands()) if looked else self.asked_to_stop.is_set()
        if self.team.any(stops):
            return self._stop()
        if looked:
            self._save_state_if_due()
        return True

    def _stop(self) -> bool:
        self._save_state()
        return False

    def _obey(self, commands: list[str]) -> bool:
        """One command after the other, waiting here while paused; False for a stop."""
        paused: float | None = None  # since when
        try:
            while True:
                for command in commands:
                    if command == "stop":
                        return False
                    if command == "pause" and paused is None:
                        self._save_state_or_note()
                        self.writer.set(status="paused")
                        paused = time.perf_counter()
                    elif command == "resume" and paused is not None:
                        self.writer.set(status="running")
                        self._began += time.perf_counter() - paused
                        paused = None
                if paused is None:
                    return True
                if self.asked_to_stop.wait(LOOK_SECONDS):
                    return False
                commands = self.writer.commands()
                if time.monotonic() - self._looked > HEARTBEAT_SECONDS:
                    self._looked = time.monotonic()
                    self.writer.flush()
        finally:
            if paused is not None:
                self._began += time.perf_counter() - paused

    # -- beginning and end -----------------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        self.writer.write(event)
        if isinstance(event, StepDone | RunStarted | EpochDone | Noted):
            try:
                self.listen(event)
            except BrokenPipeError:  # nobody reads our output any more: end as with Ctrl-C
                self.asked_to_stop.set()
        if isinstance(event, RunStarted):
            self.writer.flush()

    def _plan_of_pair(self) -> ComputePlan | None:
        """Both members of a pair compute alike: as the first one chose, if this one could have chosen it."""
        own = self.run.config.train
        could = {plan.name for plan in candidates(pick_device(own.device), own)}
        for other in self.store.pair_of(self.run):
            asked = other.config.train
            if other.run == self.run.run or not other.facts or other.device != self.run.device:
                continue
            chosen = ComputePlan.of(other.facts)
            if all(getattr(asked, name) == getattr(own, name) for name in COMPUTED) and chosen.name in could:
                return chosen
        return None

    def _start_weights(self, splits: Splits) -> FittedWeights | None:
        """Other weights to begin with, and a note of what was kept of them."""
        found = start_weights(self.run.config, splits.spec, store=self.store)
        if found is not None:
            transfer = Transfer.of(found)
            kept = len(transfer.kept) + len(transfer.fitted)
            values: dict[str, object] = {"name": self.run.config.train.start_from, "kept": kept, "total": kept + len(transfer.fresh)}
            fresh = ", ".join(transfer.fresh)
            self._tell(
                Noted(code="started_from", values={**values, "fresh": fresh}) if fresh else Noted(code="started_from_all", values=values)
            )
        return found

    def _seconds(self) -> float:
        """Of training so far, over all its pieces, without pauses."""
        return self._seconds_before + time.perf_counter() - self._began

    def _conclude(self, splits: Splits) -> None:
        """Measure the result on the test split, once: the last epoch's weights, or the best epoch's after early stopping."""
        train = self.run.config.train
        tested = "best" if train.patience is not None and (self.folder / f"best{SUFFIX}").is_file() else "last"
        checkpoint = read_checkpoint(self.folder / f"{tested}{SUFFIX}")
        weights = load_weights(checkpoint)
        model = build_model(self.run.config.model, splits.spec, seed=None, device=self.training.device)
        model.load_state_dict(weights)
        valid = evaluate(model, splits.valid, splits.spec, device=self.training.device)
        temperature = fit_temperature(valid.logits, splits.valid.labels.cpu())
        test = evaluate(model, splits.test, splits.spec, device=self.training.device)
        seconds = self._seconds()
        metrics = {**checkpoint.metrics, "temperature": temperature}
        sha256 = self._save_final(tested, metrics, test, weights, seconds)
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
        self.writer.put(result=result)  # written together with the status

    def _save_final(self, tested: str, metrics: Any, test: Evaluation, weights: dict[str, torch.Tensor], seconds: float) -> str:
        measured = {**metrics, "test_accuracy": test.accuracy, "test_loss": test.loss, "test_images": test.n, "seconds": seconds}
        return save_checkpoint(self.folder / f"{tested}{SUFFIX}", weights, self.run.config, self.training.spec, measured)


def _epoch_metrics(event: EpochDone) -> dict[str, Any]:
    row = dataclasses.asdict(event)
    return {key: row[key] for key in ("epoch", "step", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy")}


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else str(value)
