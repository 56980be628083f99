"""What a run measured while it trained: written by its worker in small batches, read by everyone."""

import json
import math
import sqlite3
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import harmonic_mean
from typing import Any

from resnet_core.errors import UserError
from resnet_core.inspection import BlockStatistics
from resnet_core.runs.schema import BUSY_SECONDS, connect, sqlite_errors
from resnet_core.runs.store import Store
from resnet_core.training.events import BlocksMeasured, EpochDone, Event, Noted, RunStarted, StepDone

FLUSH_SECONDS = 0.5  # between two commits: pages look once a second at most
LOCKED_SECONDS = 2.0  # a step waits so long for a locked store at most, and tries again after as long again
GIVE_UP_SECONDS = 600.0  # a store that could not be written for so long ends the training
PASSING = ("store_locked", "disk_full")  # what may be over in a minute: rows are kept until then

SPEED_STEPS = 20  # that a run's speed is the mean of
STEP_COLUMNS = ("step", "epoch", "loss", "learning_rate", "images_per_second", "gradient_norms")
EPOCH_COLUMNS = (
    "epoch", "step", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "learning_rate", "images_per_second", "seconds", "best", "trainable",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Columns of equal length over the steps; `gradient_norms` by part (stem, stages.0, ..., head)."""

    step: list[int]
    epoch: list[int]
    loss: list[float]
    learning_rate: list[float]
    images_per_second: list[float]
    gradient_norms: dict[str, list[float]]

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch as `EpochDone` told it; valid_loss may be nan."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    learning_rate: float
    images_per_second: float
    seconds: float
    best: bool
    trainable: int


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something a person should know: a code of `resnet_core.errors.NOTES` and its values."""

    step: int
    code: str
    values: Mapping[str, Any]


def read_steps(store: Store, run: str, *, after: int = 0) -> Steps:
    with store.connection() as db:
        rows = db.execute(f"SELECT {', '.join(STEP_COLUMNS)} FROM steps WHERE run = ? AND step > ? ORDER BY step", (run, after)).fetchall()
    norms = [json.loads(row["gradient_norms"]) for row in rows]
    parts = list(norms[0]) if norms else []
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in STEP_COLUMNS[:-1]}
    return Steps(**columns, gradient_norms={part: [row[part] for row in norms] for part in parts})


def read_epochs(store: Store, run: str) -> tuple[EpochRow, ...]:
    with store.connection() as db:
        rows = db.execute(f"SELECT {', '.join(EPOCH_COLUMNS)} FROM epochs WHERE run = ? ORDER BY epoch", (run,)).fetchall()
    return tuple(_epoch_row(row) for row in rows)


def _epoch_row(row: sqlite3.Row) -> EpochRow:
    valid_loss = math.nan if row["valid_loss"] is None else row["valid_loss"]
    return EpochRow(**{**dict(row), "best": bool(row["best"]), "valid_loss": valid_loss})


def read_blocks(store: Store, run: str) -> dict[int, tuple[BlockStatistics, ...]]:
    """Block statistics by the step at which they were measured."""
    with store.connection() as db:
        rows = db.execute("SELECT step, statistics FROM blocks WHERE run = ? ORDER BY step", (run,)).fetchall()
    return {row["step"]: tuple(BlockStatistics(**item) for item in json.loads(row["statistics"])) for row in rows}


def shipped_blocks(metrics: Mapping[str, Any]) -> dict[int, tuple[BlockStatistics, ...]]:
    """As read_blocks, from the history that a checkpoint carries in its own metrics; empty where it carries none."""
    recorded = metrics.get("history", {}).get("blocks", {})
    return {int(step): tuple(BlockStatistics(**item) for item in blocks) for step, blocks in recorded.items()}


def shipped_gradient_norms(metrics: Mapping[str, Any]) -> tuple[list[int], dict[str, list[float]]]:
    """Some of the steps of a checkpoint's own history, and the norms of every part's gradient at them; empty where it carries none."""
    kept = metrics.get("history", {}).get("steps", {})
    norms = kept.get("gradient_norms", {})
    return (kept["step"] if norms else []), norms


def read_notices(store: Store, run: str) -> tuple[Notice, ...]:
    with store.connection() as db:
        rows = db.execute("SELECT step, code, fill FROM notices WHERE run = ? ORDER BY id", (run,)).fetchall()
    return tuple(Notice(step=row["step"], code=row["code"], values=json.loads(row["fill"])) for row in rows)


class RunWriter:
    """The worker's pen: keeps one connection, collects rows, and commits at most every half second."""

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.run = store, run
        self._connection = connect(store.path)
        self._rows: list[tuple[str, tuple[Any, ...]]] = []
        self._columns: dict[str, Any] = {}
        self._flushed = 0.0
        self._failing: float | None = None  # since when the store could not be written
        self._last_command = 0
        self._step = 0
        self._speeds: deque[float] = deque(maxlen=SPEED_STEPS)  # one step alone says little on a machine that does other things too

    def forget_after(self, step: int, epoch: int) -> None:
        """Rows beyond the state from which a run goes on; the same ones are about to be written again."""
        for table, column, limit in (("steps", "step", step), ("blocks", "step", step), ("epochs", "epoch", epoch)):
            self._rows.append((f"DELETE FROM {table} WHERE run = ? AND {column} > ?", (self.run, limit)))
        accuracies = "SELECT valid_accuracy FROM epochs WHERE run = runs.run ORDER BY"
        self._rows.append(
            (
                f"UPDATE runs SET step = ?, epoch = ?, valid_accuracy = ({accuracies} epoch DESC LIMIT 1), "
                f"best_valid_accuracy = ({accuracies} valid_accuracy DESC LIMIT 1) WHERE run = ?",
                (step, epoch, self.run),
            )
        )
        for column in ("step", "epoch", "valid_accuracy", "best_valid_accuracy"):
            self._columns.pop(column, None)
        self._step = step
        self.flush()

    def write(self, event: Event) -> None:
        if isinstance(event, StepDone):
            values = (
                event.step,
                event.epoch,
                event.loss,
                event.learning_rate,
                event.images_per_second,
                json.dumps(event.stage_gradient_norms),
            )
            self._insert("steps", STEP_COLUMNS, values)
            self._step = event.step
            self._speeds.append(event.images_per_second)
            self._columns["step"] = event.step
        elif isinstance(event, EpochDone):
            self._insert("epochs", EPOCH_COLUMNS, tuple(getattr(event, name) for name in EPOCH_COLUMNS))
            self._write_blocks(event.step, event.block_statistics)
            self._columns |= {"epoch": event.epoch, "valid_accuracy": event.valid_accuracy}
            if event.best:
                self._columns["best_valid_accuracy"] = event.valid_accuracy
        elif isinstance(event, BlocksMeasured):
            self._write_blocks(event.step, event.block_statistics)
        elif isinstance(event, RunStarted):
            self._columns["facts"] = json.dumps(asdict(event))
        elif isinstance(event, Noted):
            row = (self.run, self._step, event.code, json.dumps(event.values))
            self._rows.append(("INSERT INTO notices (run, step, code, fill) VALUES (?, ?, ?, ?)", row))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush_if_possible()

    def put(self, **columns: Any) -> None:
        """Columns of the run's row, written with the next flush."""
        self._columns |= {name: json.dumps(value) if isinstance(value, dict) else value for name, value in columns.items()}

    def set(self, **columns: Any) -> None:
        """Columns of the run's row, written at once."""
        self.put(**columns)
        self.flush()

    def commands(self) -> list[str]:
        """What people asked for since the last call, in order; each is given once."""
        asked = "SELECT id, command FROM commands WHERE run = ? AND id > ? ORDER BY id"
        with sqlite_errors(self.store.path):
            rows = self._connection.execute(asked, (self.run, self._last_command)).fetchall()
        for row in rows:
            self._last_command = row["id"]
            self._rows.append(("DELETE FROM commands WHERE id = ?", (row["id"],)))
        return [row["command"] for row in rows]

    def _flush_if_possible(self) -> None:
        """A store that is locked or has no room for a while is no reason to lose a training."""
        try:
            self.flush(LOCKED_SECONDS)
        except UserError as error:
            now = time.monotonic()
            self._failing = self._failing or now
            if error.code not in PASSING or now - self._failing > GIVE_UP_SECONDS:
                raise
            self._flushed = now + LOCKED_SECONDS

    def flush(self, patience: float = BUSY_SECONDS) -> None:
        """Everything collected in one transaction, with a heartbeat. What cannot be written is kept for the next time."""
        columns = {**self._columns, "heartbeat": time.time()}
        if self._speeds:
            columns["images_per_second"] = harmonic_mean(self._speeds)
        with sqlite_errors(self.store.path):
            try:
                self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * patience)}")
                self._connection.execute("BEGIN IMMEDIATE")
                for statement, values in self._rows:
                    self._connection.execute(statement, values)
                names = ", ".join(f"{name} = ?" for name in columns)
                self._connection.execute(f"UPDATE runs SET {names} WHERE run = ?", (*columns.values(), self.run))
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self._rows, self._columns, self._flushed, self._failing = [], {}, time.monotonic(), None

    def drop_rows(self) -> None:
        """Forget what is collected but for the run's own columns."""
        self._rows = []

    def close(self) -> None:
        self._connection.close()

    def _insert(self, table: str, columns: tuple[str, ...], values: tuple[Any, ...]) -> None:
        marks = ", ".join("?" for _ in range(len(columns) + 1))
        self._rows.append((f"INSERT OR REPLACE INTO {table} (run, {', '.join(columns)}) VALUES ({marks})", (self.run, *values)))

    def _write_blocks(self, step: int, statistics: tuple[BlockStatistics, ...]) -> None:
        if statistics:
            self._insert("blocks", ("step", "statistics"), (step, json.dumps([asdict(item) for item in statistics])))
