"""All runs of this machine: one SQLite file that many processes read and write at the same time, and one folder per run.

Pages only read here and insert commands. Every call opens the file anew, so a Store can be kept, shared and thrown away freely.
"""

import json
import math
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from resnet_core.config import RunConfig
from resnet_core.errors import UserError, nearest
from resnet_core.runs.files import runs_root
from resnet_core.runs.process import is_alive, start_time, this_process
from resnet_core.runs.run import Run, new_run_id, run_of
from resnet_core.runs.schema import FILE, connect, open_database, sqlite_errors

SILENT_SECONDS = 120.0  # without a heartbeat, a run of another machine counts as interrupted
SPAWN_SECONDS = 60.0  # between a run's turn and the start of its process
COMMANDS = ("pause", "resume", "stop")
NAMES_SHOWN = 8  # of runs, in a sentence
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
        if not self.path.exists():  # taken away while this Store was kept: begin anew rather than fail for ever
            open_database(self.path)
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
            raise UserError("run_missing", value=run, hint=near_runs(run, known))
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

    def create(
        self,
        config: RunConfig,
        device: str,
        *,
        name: str | None = None,
        pair: str | None = None,
        run: str | None = None,
        in_person: bool = False,
        **columns: Any,
    ) -> Run:
        """A new row at the end of the queue of its device ("cpu", "cuda", "mps"); `run` is an id from `fresh_id`. Where this process waits
        `in_person`, it will take the run's turn itself (`claim(device, run)`): nobody else starts it while this process lives. Other
        `columns` (`status="finished"`) are for a run that need not be trained any more; mappings are stored as JSON."""
        run, now = run or self.fresh_id(config), time.time()
        values: dict[str, Any] = {
            "run": run,
            "name": name or run,
            "status": "queued",
            "config": config.to_json(),
            "pair": pair,
            "device": device,
        }
        values |= {
            **_own_mark(in_person),
            "place": now,
            "created": now,
            **{key: json.dumps(v) if isinstance(v, dict) else v for key, v in columns.items()},
        }
        with self.connection(writing=True) as db:
            db.execute(f"INSERT INTO runs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))
        return self.run(run)

    def create_finished(
        self, config: RunConfig, *, run: str, name: str, metrics: Mapping[str, Any], result: Mapping[str, Any], **columns: Any
    ) -> Run:
        """A run that need not be trained any more: its `last` checkpoint, with these metrics, is in its folder already."""
        return self.create(
            config, "cpu", name=name, run=run, status="finished", ended=time.time(), epoch=int(metrics.get("epoch") or 0),
            step=int(metrics.get("step") or 0), result={"tested": "last", **result}, **columns,
        )  # fmt: skip

    def fresh_id(self, config: RunConfig) -> str:
        """An id that no run has and no folder of an earlier one."""
        while not self.is_free(run := new_run_id(config)):
            pass
        return run

    def is_free(self, run: str) -> bool:
        """No run, a deleted one included, and no folder has this id."""
        with self.connection() as db:
            taken = db.execute("SELECT 1 FROM runs WHERE run = ?", (run,)).fetchone()
        return taken is None and not (self.root / run).exists()

    def rename(self, run: str, name: str) -> None:
        self.update(self.run(run).run, name=name.strip() or run)

    def annotate(self, run: str, note: str) -> None:
        self.update(self.run(run).run, note=note)

    def delete(self, run: str) -> None:
        """Hide a run that is not active; `restore` brings it back, `purge` takes its files."""
        self.run(run)
        now = time.time()
        with self.connection(writing=True) as db:
            if _stop_waiting(db, run, now) or not _is_active(db, run):
                db.execute("UPDATE runs SET deleted = ? WHERE run = ?", (now, run))
                return
        raise UserError("run_busy", run=run, status=self.run(run).status)

    def restore(self, run: str) -> None:
        """Bring a deleted run back."""
        self._require_deleted(run)
        self.update(run, deleted=None)

    def purge(self, run: str) -> None:
        """Remove a run for good, with its folder; one that is active raises run_busy."""
        if self.exists(run):
            self.delete(run)
        self._require_deleted(run)
        with self.connection(writing=True) as db:
            for table in ("runs", "steps", "epochs", "blocks", "commands", "notices"):
                db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
        shutil.rmtree(self.root / run, ignore_errors=True)

    def _require_deleted(self, run: str) -> None:
        with self.connection() as db:
            if db.execute("SELECT 1 FROM runs WHERE run = ? AND deleted IS NOT NULL", (run,)).fetchone() is None:
                raise UserError("run_missing", value=run, hint=near_runs(run, [r.run for r in (*self.runs(), *self.runs(deleted=True))]))

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
            places_now = [row["place"] for row in rows]  # in order, since QUEUE is
            for index, name in enumerate(order):
                if index and places_now[index] <= places_now[index - 1]:  # queued at the same instant
                    places_now[index] = math.nextafter(places_now[index - 1], math.inf)
                db.execute("UPDATE runs SET place = ? WHERE run = ?", (places_now[index], name))

    # -- commands ---------------------------------------------------------------------------------------------------------------------

    def send(self, run: str, command: str) -> None:
        """pause, resume (a paused one) or stop. A waiting run is stopped at once."""
        if command not in COMMANDS:
            raise UserError("not_a_choice", field="command", value=command, choices=", ".join(COMMANDS))
        self.run(run)
        now = time.time()
        with self.connection(writing=True) as db:  # one transaction: a waiting run may get its turn at this instant
            if command == "stop" and _stop_waiting(db, run, now):
                return
            if _is_active(db, run):
                db.execute("INSERT INTO commands (run, command, created) VALUES (?, ?, ?)", (run, command, now))
                return
        raise UserError("run_not_active", run=run, status=self.run(run).status, command=command)

    def requeue(self, run: str, *, in_person: bool = False) -> Run:
        """Put a stopped, interrupted or failed run back into the queue, to go on where it was; `in_person` as in `create`."""
        from resnet_core.runs.resume_state import has_resume_state  # imports torch: a list of runs needs none

        found = self.run(run)
        if not found.is_resumable:
            raise UserError("run_not_resumable", run=run, status=found.status)
        if found.step and not has_resume_state(found.folder):
            raise UserError("resume_damaged", run=run, reason=f"{found.folder} holds none")
        mark = _own_mark(in_person)
        with self.connection(writing=True) as db:
            changed = db.execute(
                "UPDATE runs SET status = 'queued', place = ?, ended = NULL, error_code = NULL, error_values = NULL, "
                "host = ?, pid = ?, pid_start = ? WHERE run = ? AND status = ?",
                (time.time(), mark["host"], mark["pid"], mark["pid_start"], run, found.status),
            ).rowcount
            if changed:
                db.execute("DELETE FROM commands WHERE run = ?", (run,))
        if not changed:  # somebody else was first
            raise UserError("run_not_resumable", run=run, status=self.run(run).status)
        return self.run(run)

    # -- turns ------------------------------------------------------------------------------------------------------------------------

    def claim(self, device: str, run: str | None = None) -> str | None:
        """Give the free device to the first waiting run: its id, or None. With `run`, only to that one, and this process will train it.

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
            pid, pid_start = (mark.pid, mark.start) if run is not None else (None, None)
            db.execute(
                "UPDATE runs SET status = 'running', host = ?, pid = ?, pid_start = ?, heartbeat = ?, started = COALESCE(started, ?) "
                "WHERE run = ?",
                (mark.host, pid, pid_start, now, now, row["run"]),
            )
            return str(row["run"])

    def spawned(self, run: str, pid: int) -> None:
        """The process that a claimed run was given: its death is noticed from its first instant on, before it could say a word itself."""
        with self.connection(writing=True) as db:
            db.execute(
                "UPDATE runs SET pid = ?, pid_start = ? WHERE run = ? AND status = 'running' AND pid IS NULL",
                (pid, start_time(pid), run),
            )

    def waiting_devices(self) -> tuple[str, ...]:
        with self.connection() as db:
            return tuple(
                row["device"] for row in db.execute("SELECT DISTINCT device FROM runs WHERE status = 'queued' AND deleted IS NULL")
            )

    def notice_dead(self) -> None:
        """Runs whose process is gone become interrupted."""
        with self.connection() as db:
            rows = db.execute("SELECT * FROM runs WHERE status IN ('running', 'paused')").fetchall()
        dead = [row for row in rows if _is_dead(run_of(row, self.root))]
        if not dead:
            return
        with self.connection(writing=True) as db:
            for row in dead:  # unless it ended well, or was given to another process, in this very moment
                db.execute(
                    "UPDATE runs SET status = 'interrupted', ended = COALESCE(heartbeat, ?) "
                    "WHERE run = ? AND status = ? AND pid IS ? AND pid_start IS ? AND heartbeat IS ?",
                    (time.time(), row["run"], row["status"], row["pid"], row["pid_start"], row["heartbeat"]),
                )

    def update(self, run: str, **columns: Any) -> None:
        """Set columns of a run's row; mappings are stored as JSON."""
        values = [json.dumps(value) if isinstance(value, dict) else value for value in columns.values()]
        with self.connection(writing=True) as db:
            db.execute(f"UPDATE runs SET {', '.join(f'{column} = ?' for column in columns)} WHERE run = ?", (*values, run))


def near_runs(run: str, known: list[str]) -> str:
    """The remedy for an unknown run; a long list is not read out."""
    if not known:
        return "there are none yet"
    if len(known) > NAMES_SHOWN and not get_close_matches(run, known):
        return "'python -m resnet_core runs list' shows them all"
    return nearest(run, known)


def _own_mark(in_person: bool) -> dict[str, Any]:
    """This process as the one that a row waits for, or nobody."""
    mark = this_process() if in_person else None
    return {"host": mark and mark.host, "pid": mark and mark.pid, "pid_start": mark and mark.start}


def _stop_waiting(db: sqlite3.Connection, run: str, now: float) -> bool:
    return db.execute("UPDATE runs SET status = 'stopped', ended = ? WHERE run = ? AND status = 'queued'", (now, run)).rowcount > 0


def _is_active(db: sqlite3.Connection, run: str) -> bool:
    return db.execute("SELECT 1 FROM runs WHERE run = ? AND status IN ('running', 'paused')", (run,)).fetchone() is not None


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
