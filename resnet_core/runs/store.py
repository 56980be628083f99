"""All runs of this machine: one SQLite file that many processes read and write at the same time, and one folder per run.

Pages only read here and insert commands. Every call opens the file anew, so a Store can be kept, shared and thrown away freely.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet_core.config import RunConfig
from resnet_core.errors import UserError, nearest
from resnet_core.runs.files import runs_root
from resnet_core.runs.process import is_alive, this_process
from resnet_core.runs.resume_state import has_resume_state
from resnet_core.runs.run import Run, new_run_id, run_of
from resnet_core.runs.schema import FILE, connect, open_database, sqlite_errors

SILENT_SECONDS = 120.0  # without a heartbeat, a run of another machine counts as interrupted
SPAWN_SECONDS = 60.0  # between a run's turn and the first word of its process
QUEUE = "status = 'queued' AND deleted IS NULL ORDER BY place, created"


class Store:
    """`root` defaults to $RESNET_RUNS, else ./runs. Raises UserError for a store that is damaged, newer, locked or not writable."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or runs_root()).absolute()
        self.path = self.root / FILE
        open_database(self.path)

    @contextmanager
    def connection(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for one piece of work; with `writing`, one transaction that is undone when an exception passes."""
        with sqlite_errors(self.path):
            connection = connect(self.path)
            try:
                if writing:
                    connection.execute("BEGIN IMMEDIATE")
                yield connection
                if writing:
                    connection.execute("COMMIT")
            finally:
                connection.close()  # an open transaction is rolled back

    # -- reading ------------------------------------------------------------------------------------------------------------------

    def runs(self, *, deleted: bool = False) -> tuple[Run, ...]:
        """All runs, the newest first; runs whose process died are found and shown as interrupted."""
        self.notice_dead()
        condition = "deleted IS NOT NULL" if deleted else "deleted IS NULL"
        with self.connection() as db:
            rows = db.execute(f"SELECT * FROM runs WHERE {condition} ORDER BY created DESC, rowid DESC").fetchall()
            positions = _positions(db)
        return tuple(run_of(row, self.root, positions.get(row["run"])) for row in rows)

    def run(self, run: str) -> Run:
        """One run by its id; raises run_missing with the nearest ids."""
        self.notice_dead()
        with self.connection() as db:
            row = db.execute("SELECT * FROM runs WHERE run = ? AND deleted IS NULL", (run,)).fetchone()
            positions = _positions(db)
            known = [] if row else [r["run"] for r in db.execute("SELECT run FROM runs WHERE deleted IS NULL")]
        if row is None:
            raise UserError("run_missing", value=run, hint=nearest(run, known))
        return run_of(row, self.root, positions.get(run))

    def exists(self, run: str) -> bool:
        with self.connection() as db:
            return db.execute("SELECT 1 FROM runs WHERE run = ? AND deleted IS NULL", (run,)).fetchone() is not None

    def pair_of(self, run: Run) -> tuple[Run, ...]:
        """All runs of the same experiment in the order of their queueing, or the run alone."""
        if run.pair is None:
            return (run,)
        return tuple(sorted((other for other in self.runs() if other.pair == run.pair), key=lambda r: r.created))

    # -- changing what people may change ---------------------------------------------------------------------------------------------

    def create(self, config: RunConfig, device: str, *, name: str | None = None, pair: str | None = None) -> Run:
        """A new row at the end of the queue of its device ("cpu", "cuda", "mps")."""
        run, now = new_run_id(config), time.time()
        with self.connection(writing=True) as db:
            db.execute(
                "INSERT INTO runs (run, name, status, config, pair, device, place, created) VALUES (?, ?, 'queued', ?, ?, ?, ?, ?)",
                (run, name or run, config.to_json(), pair, device, now, now),
            )
        return self.run(run)

    def wait_in_person(self, run: str) -> None:
        """This process will take the run's turn itself (`claim(device, run)`); nobody else starts it while this process lives."""
        mark = this_process()
        self.update(run, host=mark.host, pid=mark.pid, pid_start=mark.start)

    def rename(self, run: str, name: str) -> None:
        self.update(self.run(run).run, name=name.strip() or run)

    def annotate(self, run: str, note: str) -> None:
        self.update(self.run(run).run, note=note)

    def delete(self, run: str) -> None:
        """Hide a run that is not active; `restore` brings it back, `purge` takes its files."""
        found = self.run(run)
        if found.is_active:
            raise UserError("run_busy", run=run, status=found.status)
        if found.status == "queued":
            self.update(run, status="stopped", ended=time.time())
        self.update(run, deleted=time.time())

    def restore(self, run: str) -> None:
        self.update(run, deleted=None)

    def purge(self, run: str) -> None:
        """Remove a run for good, with its folder."""
        if self.exists(run):
            self.delete(run)
        with self.connection(writing=True) as db:
            for table in ("runs", "steps", "epochs", "blocks", "commands", "notices"):
                db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
        shutil.rmtree(self.root / run, ignore_errors=True)

    def move(self, run: str, places: int) -> None:
        """Earlier (negative) or later in the queue of its device."""
        with self.connection(writing=True) as db:
            rows = db.execute(
                f"SELECT run, place FROM runs WHERE device = (SELECT device FROM runs WHERE run = ?) AND {QUEUE}", (run,)
            ).fetchall()
            order = [row["run"] for row in rows]
            if run not in order:
                return
            old = order.index(run)
            order.insert(max(0, min(len(order) - 1, old + places)), order.pop(old))
            for name, place in zip(order, sorted(row["place"] for row in rows), strict=True):
                db.execute("UPDATE runs SET place = ? WHERE run = ?", (place, name))

    # -- commands ---------------------------------------------------------------------------------------------------------------------

    def send(self, run: str, command: str) -> None:
        """pause, resume (a paused one) or stop. A waiting run is stopped at once."""
        found = self.run(run)
        if found.status == "queued" and command == "stop":
            self.update(run, status="stopped", ended=time.time())
            return
        if not found.is_active:
            raise UserError("run_not_active", run=run, status=found.status, command=command)
        with self.connection(writing=True) as db:
            db.execute("INSERT INTO commands (run, command, created) VALUES (?, ?, ?)", (run, command, time.time()))

    def requeue(self, run: str) -> Run:
        """Put a stopped, interrupted or failed run back into the queue, to go on where it was."""
        found = self.run(run)
        if not found.is_resumable:
            raise UserError("run_not_resumable", run=run, status=found.status)
        if found.step and not has_resume_state(found.folder):
            raise UserError("resume_damaged", run=run, reason=f"{found.folder} holds none")
        with self.connection(writing=True) as db:
            db.execute("DELETE FROM commands WHERE run = ?", (run,))
            db.execute(
                "UPDATE runs SET status = 'queued', place = ?, ended = NULL, error_code = NULL, error_values = NULL, pid = NULL WHERE run = ?",
                (time.time(), run),
            )
        return self.run(run)

    # -- turns ------------------------------------------------------------------------------------------------------------------------

    def claim(self, device: str, run: str | None = None) -> str | None:
        """Give the free device to the first waiting run (or to `run`, when it is the first): its id, or None.

        One transaction decides, so two callers at the same instant never start two trainings on one device.
        """
        self.notice_dead()
        mark, now = this_process(), time.time()
        with self.connection(writing=True) as db:
            if db.execute("SELECT 1 FROM runs WHERE device = ? AND status IN ('running', 'paused')", (device,)).fetchone():
                return None
            row = db.execute(f"SELECT * FROM runs WHERE device = ? AND {QUEUE} LIMIT 1", (device,)).fetchone()
            if row is None or (run is not None and row["run"] != run):
                return None
            if run is None and _waits_itself(run_of(row, self.root)):
                return None
            db.execute(
                "UPDATE runs SET status = 'running', host = ?, pid = NULL, heartbeat = ?, started = COALESCE(started, ?) WHERE run = ?",
                (mark.host, now, now, row["run"]),
            )
            return str(row["run"])

    def waiting_devices(self) -> tuple[str, ...]:
        with self.connection() as db:
            return tuple(
                row["device"] for row in db.execute("SELECT DISTINCT device FROM runs WHERE status = 'queued' AND deleted IS NULL")
            )

    def notice_dead(self) -> None:
        """Runs whose process is gone become interrupted."""
        with self.connection() as db:
            rows = db.execute("SELECT * FROM runs WHERE status IN ('running', 'paused')").fetchall()
        dead = [row["run"] for row in rows if _is_dead(run_of(row, self.root))]
        if not dead:
            return
        with self.connection(writing=True) as db:
            for run in dead:
                db.execute(
                    "UPDATE runs SET status = 'interrupted', ended = COALESCE(heartbeat, ?) WHERE run = ? AND status IN ('running', 'paused')",
                    (time.time(), run),
                )

    def update(self, run: str, **columns: Any) -> None:
        """Set columns of a run's row; mappings are stored as JSON."""
        values = [json.dumps(value) if isinstance(value, dict) else value for value in columns.values()]
        with self.connection(writing=True) as db:
            db.execute(f"UPDATE runs SET {', '.join(f'{column} = ?' for column in columns)} WHERE run = ?", (*values, run))


def _waits_itself(run: Run) -> bool:
    """A terminal waits for this run's turn."""
    return run.mark is not None and run.mark.host == this_process().host and is_alive(run.mark)


def _is_dead(run: Run) -> bool:
    silent = time.time() - (run.heartbeat or run.created)
    if run.mark is None:
        return silent > SPAWN_SECONDS
    if run.mark.host == this_process().host:
        return not is_alive(run.mark)
    return silent > SILENT_SECONDS


def _positions(db: sqlite3.Connection) -> dict[str, int]:
    """Place in the queue of its device, from 1, of every waiting run."""
    positions: dict[str, int] = {}
    counts: dict[str, int] = {}
    for row in db.execute(f"SELECT run, device FROM runs WHERE {QUEUE}"):
        counts[row["device"]] = counts.get(row["device"], 0) + 1
        positions[row["run"]] = counts[row["device"]]
    return positions
