"""The SQLite file of all runs: its tables, its version, and its errors said in one sentence."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_core.errors import UserError
from resnet_core.writing import writing_to

FILE = "runs.sqlite"
VERSION = 1
BUSY_SECONDS = 30.0

TABLES = """
CREATE TABLE runs (
  run TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  status TEXT NOT NULL,            -- queued, running, paused, finished, stopped, failed, interrupted
  config TEXT NOT NULL,            -- RunConfig as JSON
  pair TEXT,                       -- runs of one experiment share it
  device TEXT NOT NULL,            -- the device whose turn it waits for: cpu, cuda, mps
  place REAL NOT NULL,             -- order in the queue
  created REAL NOT NULL,           -- seconds since 1970, as all times
  started REAL,
  ended REAL,
  host TEXT, pid INTEGER, pid_start REAL, heartbeat REAL,
  facts TEXT NOT NULL DEFAULT '{}',   -- what RunStarted said, and the plan
  result TEXT NOT NULL DEFAULT '{}',  -- test_accuracy, test_loss, weights_sha256, seconds, peak_memory, tested
  epoch INTEGER NOT NULL DEFAULT 0,   -- epochs done
  step INTEGER NOT NULL DEFAULT 0,
  images_per_second REAL,
  valid_accuracy REAL, best_valid_accuracy REAL,
  error_code TEXT, error_values TEXT,
  note TEXT NOT NULL DEFAULT '',
  deleted REAL
);
CREATE TABLE steps (
  run TEXT NOT NULL, step INTEGER NOT NULL, epoch INTEGER NOT NULL, loss REAL NOT NULL, learning_rate REAL NOT NULL,
  images_per_second REAL NOT NULL, gradient_norms TEXT NOT NULL, PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE TABLE epochs (
  run TEXT NOT NULL, epoch INTEGER NOT NULL, step INTEGER NOT NULL, train_loss REAL NOT NULL, train_accuracy REAL NOT NULL,
  valid_loss REAL,  -- null where it is not a number, which SQLite cannot hold
  valid_accuracy REAL NOT NULL, learning_rate REAL NOT NULL, images_per_second REAL NOT NULL,
  seconds REAL NOT NULL, best INTEGER NOT NULL, trainable INTEGER NOT NULL, PRIMARY KEY (run, epoch)
) WITHOUT ROWID;
CREATE TABLE blocks (run TEXT NOT NULL, step INTEGER NOT NULL, statistics TEXT NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE commands (id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, command TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE notices (id INTEGER PRIMARY KEY, run TEXT NOT NULL, step INTEGER NOT NULL, code TEXT NOT NULL, fill TEXT NOT NULL);
CREATE INDEX commands_of ON commands (run);
"""


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """What SQLite raises, as UserErrors: a full disk, a read-only place, a lock held for too long, a file that is no database."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise UserError("store_locked", path=path, reason=text) from error
        if "full" in text:
            raise UserError("disk_full", path=path, reason=text) from error
        if "readonly" in text or "unable to open" in text:
            raise UserError("not_writable", path=path, reason=text) from error
        raise UserError("store_damaged", path=path, reason=text) from error
    except sqlite3.DatabaseError as error:
        raise UserError("store_damaged", path=path, reason=str(error)) from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection that waits for others, with rows by name; transactions begin and end explicitly. The file must be there."""
    uri = f"{path.absolute().as_uri()}?mode=rw"  # never leave an empty file where a store was taken away
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = NORMAL")  # in WAL mode a crash of the machine may lose the last commits, never the file
    return connection


def open_database(path: Path) -> None:
    """Make the file with its tables where there is none. Raises store_newer for a file of a later version."""
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()
    with sqlite_errors(path):
        connection = connect(path)
        try:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise UserError("store_newer", path=path, found=found, known=VERSION)
            if found < VERSION:
                _create(connection, path)
        finally:
            connection.close()


def _create(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone() and not connection.execute("PRAGMA user_version").fetchone()[0]:
        raise UserError("store_damaged", path=path, reason="it is another program's database")
    _use_wal(connection)
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # another process may have been first
        for statement in TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers then never wait for the writer. SQLite does not wait by itself when several processes switch a new file at once."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
