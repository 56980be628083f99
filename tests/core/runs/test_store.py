"""The store of runs: what people may change, whose turn it is, and which processes are dead."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.runs import Store, schema
from resnet_core.runs import store as store_module
from resnet_core.runs.process import is_alive, start_time, this_process
from resnet_core.runs.schema import FILE, VERSION

Small = Callable[..., RunConfig]


def add(store: Store, small: Small, count: int = 1, **changes: object) -> list[str]:
    return [store.create(small(**changes), "cpu").run for _ in range(count)]


def queue_of(store: Store) -> list[str]:
    waiting = [run for run in store.runs() if run.position is not None]
    return [run.run for run in sorted(waiting, key=lambda run: run.position or 0)]


# -- the file ----------------------------------------------------------------------------------------------------------------------


def test_a_newer_schema_is_refused_and_left_alone(store: Store) -> None:
    with store.connection() as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = store.path.read_bytes()
    with pytest.raises(UserError, match="newer version") as caught:
        Store()
    assert caught.value.code == "store_newer"
    assert (caught.value.values["found"], caught.value.values["known"]) == (VERSION + 1, VERSION)
    assert store.path.read_bytes() == before


def test_a_file_that_is_no_database(own_runs: Path) -> None:
    own_runs.mkdir()
    (own_runs / FILE).write_bytes(b"not a database, but long enough to have a header" * 100)
    with pytest.raises(UserError) as caught:
        Store()
    assert caught.value.code == "store_damaged"


def test_another_programs_database_is_left_alone(own_runs: Path) -> None:
    own_runs.mkdir()
    other = sqlite3.connect(own_runs / FILE)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = (own_runs / FILE).read_bytes()
    with pytest.raises(UserError, match="another program") as caught:
        Store()
    assert caught.value.code == "store_damaged"
    assert (own_runs / FILE).read_bytes() == before


def test_a_damaged_page_is_said(store: Store, small: Small) -> None:
    add(store, small, 20)
    data = bytearray(store.path.read_bytes())
    data[200:] = b"\xff" * (len(data) - 200)
    store.path.write_bytes(bytes(data))
    with pytest.raises(UserError) as caught:
        Store().runs()
    assert caught.value.code == "store_damaged"


def test_a_locked_store_says_so(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.1)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert store.runs() == (), "readers do not wait for a writer"
        with pytest.raises(UserError) as caught:
            add(store, small)
        assert caught.value.code == "store_locked"
    finally:
        other.close()
    add(store, small)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in its place")
    for root in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(UserError) as caught:
            Store(root)
        assert caught.value.code == "not_writable"


def test_a_store_taken_away_begins_anew(store: Store, small: Small) -> None:
    add(store, small)
    for file in store.root.iterdir():
        file.unlink()
    assert store.runs() == ()
    assert len(add(store, small)) == 1


# -- what people change --------------------------------------------------------------------------------------------------------------


def test_a_new_run_is_what_was_asked_for(store: Store, small: Small) -> None:
    config = small(learning_rate=0.05, seed=7)
    made = store.create(config, "cpu", name="My run")
    found = Store(store.root).run(made.run)
    assert found == made
    assert (found.config, found.name, found.status, found.device, found.position) == (config, "My run", "queued", "cpu", 1)
    assert (found.model_name, found.dataset, found.epoch, found.step) == ("resnet8", config.data.dataset, 0, 0)
    assert re.fullmatch(r"resnet8-[a-z0-9-]+-[a-z0-9]{4}", found.run)
    assert found.folder == store.root / found.run


def test_rename_and_note(store: Store, small: Small) -> None:
    (run,) = add(store, small)
    store.rename(run, "  数字 “one”; DROP TABLE runs  ")
    store.annotate(run, "line 1\nline 2")
    assert (store.run(run).name, store.run(run).note) == ("数字 “one”; DROP TABLE runs", "line 1\nline 2")
    store.rename(run, "   ")
    assert store.run(run).name == run
    for change in (store.rename, store.annotate):
        with pytest.raises(UserError, match="There is no run"):
            change("nobody", "x")


def test_delete_restore_purge(store: Store, small: Small) -> None:
    run, other = add(store, small, 2)
    folder = store.run(run).folder
    folder.mkdir()
    (folder / "last.safetensors").write_bytes(b"weights")
    store.delete(run)
    assert [r.run for r in store.runs()] == [other]
    assert [(r.run, r.status) for r in store.runs(deleted=True)] == [(run, "stopped")]
    assert queue_of(store) == [other]
    with pytest.raises(UserError, match="There is no run"):
        store.run(run)
    store.restore(run)
    assert store.run(run).status == "stopped"
    assert folder.exists()
    with pytest.raises(UserError):
        store.restore(run)
    store.delete(run)
    store.purge(run)
    assert not folder.exists()
    assert store.runs(deleted=True) == ()
    store.purge(other)
    assert store.runs() == ()


@pytest.mark.parametrize("run", ["", ".", "..", "../elsewhere", "/", "nobody"])
def test_purge_touches_nothing_but_runs(store: Store, small: Small, run: str, tmp_path: Path) -> None:
    add(store, small)
    (tmp_path / "elsewhere").mkdir()
    for call in (store.purge, store.delete, store.restore):
        with pytest.raises(UserError) as caught:
            call(run)
        assert caught.value.code == "run_missing"
    assert store.path.exists()
    assert (tmp_path / "elsewhere").exists()


def test_an_active_run_cannot_be_deleted(store: Store, small: Small) -> None:
    (run,) = add(store, small)
    store.claim("cpu", run)
    for status in ("running", "paused"):
        store.update(run, status=status)
        for call in (store.delete, store.purge):
            with pytest.raises(UserError, match="stop it first") as caught:
                call(run)
            assert caught.value.code == "run_busy"
    assert store.run(run).deleted is None


def test_moving_in_the_queue(store: Store, small: Small) -> None:
    a, b, c, d = add(store, small, 4)
    other = store.create(small(), "cuda").run
    store.move(d, -2)
    assert [run for run in queue_of(store) if run != other] == [a, d, b, c]
    store.move(a, 1)
    store.move(c, -100)
    store.move(d, 100)
    assert [run for run in queue_of(store) if run != other] == [c, a, b, d]
    assert store.run(other).position == 1
    assert [store.run(run).position for run in (c, a, b, d)] == [1, 2, 3, 4]
    store.move("nobody", 1)
    (last,) = add(store, small)
    assert [run for run in queue_of(store) if run != other][-1] == last, "a new run still comes last"


def test_moving_among_runs_queued_at_the_same_instant(store: Store, small: Small) -> None:
    runs = add(store, small, 3)
    for run in runs:
        store.update(run, place=1000.0, created=1000.0)
    first = queue_of(store)
    store.move(first[2], -2)
    assert queue_of(store) == [first[2], first[0], first[1]]


def test_commands_only_for_those_that_can_take_them(store: Store, small: Small) -> None:
    (run,) = add(store, small)
    for command in ("pause", "resume"):
        with pytest.raises(UserError, match="queued") as caught:
            store.send(run, command)
        assert caught.value.code == "run_not_active"
    with pytest.raises(UserError, match="pause, resume, stop"):
        store.send(run, "explode")
    store.send(run, "stop")
    assert store.run(run).status == "stopped"
    assert store.claim("cpu") is None
    with pytest.raises(UserError, match="stopped"):
        store.send(run, "stop")


def test_requeue(store: Store, small: Small) -> None:
    first, second = add(store, small, 2)
    with pytest.raises(UserError, match="queued"):
        store.requeue(first)
    store.send(first, "stop")
    assert store.requeue(first).position == 2, "at the end"
    store.update(second, status="failed", error_code="loss_not_finite", error_values={"value": 1.0, "step": 2, "learning_rate": 3.0})
    with pytest.raises(UserError, match="cannot be resumed"):
        store.requeue(second)
    store.update(second, error_code="disk_full", error_values={"path": "p", "reason": "r"})
    assert store.requeue(second).error is None
    store.update(second, status="interrupted", step=5)
    with pytest.raises(UserError) as caught:
        store.requeue(second)
    assert caught.value.code == "resume_damaged"
    store.update(second, status="finished", step=0)
    with pytest.raises(UserError, match="cannot be resumed"):
        store.requeue(second)


def test_a_failed_change_is_undone(store: Store, small: Small) -> None:
    (run,) = add(store, small)

    def change() -> None:
        with store.connection(writing=True) as db:
            db.execute("UPDATE runs SET name = 'half' WHERE run = ?", (run,))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change()
    assert store.run(run).name == run


# -- whose process is dead -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def other_process() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_process_by_its_start_time(other_process: "subprocess.Popen[bytes]") -> None:
    assert is_alive(this_process())
    started = start_time(other_process.pid)
    assert started is not None
    assert started != start_time(os.getpid())
    other_process.kill()
    while other_process.poll() is None and start_time(other_process.pid) is not None:
        time.sleep(0.01)
    assert start_time(other_process.pid) is None, "a zombie is dead too"
    other_process.communicate()
    assert start_time(other_process.pid) is None


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_dead_process_makes_its_run_interrupted(
    store: Store, small: Small, status: str, other_process: "subprocess.Popen[bytes]"
) -> None:
    (run,) = add(store, small)
    store.claim("cpu")
    store.spawned(run, other_process.pid)
    store.update(run, status=status, heartbeat=1234.5)
    assert store.run(run).status == status
    other_process.communicate(b"\n")
    found = store.run(run)
    assert (found.status, found.ended) == ("interrupted", 1234.5)
    assert found.is_resumable


def test_a_reused_pid_is_not_the_run(store: Store, small: Small) -> None:
    (run,) = add(store, small)
    store.claim("cpu", run)
    mark = this_process()
    assert store.run(run).mark == mark
    assert mark.start is not None
    store.update(run, pid_start=mark.start - 1)
    assert store.run(run).status == "interrupted"


def test_a_run_of_another_host_is_dead_when_it_is_silent(store: Store, small: Small) -> None:
    (run,) = add(store, small)
    store.claim("cpu", run)
    store.update(run, host="elsewhere", pid=1, pid_start=1.0, heartbeat=time.time() - store_module.SILENT_SECONDS + 20)
    assert store.run(run).status == "running"
    store.update(run, heartbeat=time.time() - store_module.SILENT_SECONDS - 1)
    assert store.run(run).status == "interrupted"


def test_claimed_but_never_spawned(store: Store, small: Small) -> None:
    (run,) = add(store, small)
    store.claim("cpu")
    assert store.run(run).mark is None
    store.update(run, heartbeat=time.time() - store_module.SPAWN_SECONDS + 20)
    assert store.run(run).status == "running"
    store.update(run, heartbeat=time.time() - store_module.SPAWN_SECONDS - 1)
    assert store.run(run).status == "interrupted"


def test_one_that_ended_in_this_very_moment_is_not_overwritten(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the process and the write, it finishes, or is given to another process."""
    finished, taken = add(store, small, 2)
    mark = this_process()
    for run in (finished, taken):
        store.update(run, status="running", host=mark.host, pid=mark.pid, pid_start=-1.0, heartbeat=1.0)

    def dead(run: store_module.Run) -> bool:
        with store.connection(writing=True) as db:
            change = "status = 'finished'" if run.run == finished else f"pid = {mark.pid}, pid_start = {mark.start}"
            db.execute(f"UPDATE runs SET {change} WHERE run = ?", (run.run,))
        return True

    monkeypatch.setattr(store_module, "_is_dead", dead)
    store.notice_dead()
    monkeypatch.undo()
    assert (store.run(finished).status, store.run(taken).status) == ("finished", "running")


# -- turns -------------------------------------------------------------------------------------------------------------------------------


def test_one_run_at_a_time_per_device(store: Store, small: Small) -> None:
    first, second = add(store, small, 2)
    other = store.create(small(), "cuda").run
    assert store.waiting_devices() == ("cpu", "cuda")
    assert store.claim("cpu", second) is None, "it is not the first"
    assert store.claim("cpu") == first
    assert store.claim("cpu") is None
    assert store.claim("cuda") == other
    store.update(first, status="paused")
    assert store.claim("cpu") is None, "a paused one keeps its device"
    store.update(first, status="finished")
    assert store.claim("cpu") == second


def test_who_waits_in_person_is_not_started_by_others(store: Store, small: Small, other_process: "subprocess.Popen[bytes]") -> None:
    (run,) = add(store, small)
    store.update(run, host=this_process().host, pid=other_process.pid, pid_start=start_time(other_process.pid))
    assert store.claim("cpu") is None
    other_process.communicate(b"\n")
    assert store.claim("cpu") == run, "but when that process is gone"


def test_pair_of(store: Store, small: Small) -> None:
    first = store.create(small(), "cpu")
    assert store.pair_of(first) == (first,)
    a = store.create(small(), "cpu", pair="p")
    b = store.create(small(model="plain8"), "cpu", pair="p")
    assert [run.run for run in store.pair_of(b)] == [a.run, b.run]
