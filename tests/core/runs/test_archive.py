"""A run as one zip: it arrives as it was, and a zip that is not ours, or not whole, or meant to harm, is not let in."""

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.runs import (
    Run,
    Store,
    archive,
    checkpoints_of,
    export_run,
    find_checkpoint,
    import_run,
    load_weights,
    read_blocks,
    read_epochs,
    read_notices,
    read_steps,
)  # fmt: skip
from resnet_core.runs.files import digest
from resnet_core.runs.worker import execute
from resnet_core.training import Event, StepDone
from tests.core.runs.conftest import SMALL

Small = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory, digits: str) -> Path:
    """A store with a run that was stopped in its second epoch, with a name and a note."""
    store = Store(tmp_path_factory.mktemp("stopped"))
    run = store.create(RunConfig.from_flat({**SMALL, "dataset": digits, "epochs": 2}), "cpu", name="数字").run
    store.annotate(run, "a note")
    store.claim("cpu", run)

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 20:
            raise BrokenPipeError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signal.signal", lambda number, handler: None)
        ended = execute(store, run, listen=listen)
    assert (ended.status, ended.epoch, ended.step) == ("stopped", 1, 20)
    return store.root


@pytest.fixture
def store(stopped_once: Path, own_runs: Path) -> Store:
    """With a copy of it for one test."""
    shutil.copytree(stopped_once, own_runs)
    return Store()


@pytest.fixture
def stopped(store: Store) -> Run:
    (run,) = store.runs()
    return run


@pytest.fixture
def exported(store: Store, stopped: Run, tmp_path: Path) -> Path:
    file = tmp_path / "run.zip"
    export_run(store, stopped.run, file)
    return file


@pytest.fixture
def elsewhere(tmp_path: Path) -> Store:
    return Store(tmp_path / "elsewhere")


def test_it_arrives_as_it_was_and_can_go_on(store: Store, stopped: Run, exported: Path, elsewhere: Store) -> None:
    found = import_run(elsewhere, exported)
    same = {"folder": stopped.folder, "mark": stopped.mark, "heartbeat": stopped.heartbeat}
    assert replace(found, **same) == stopped  # type: ignore[arg-type]
    assert found.mark is None
    for read in (read_steps, read_epochs, read_blocks, read_notices):
        assert read(elsewhere, found.run) == read(store, stopped.run)  # type: ignore[operator]
    assert checkpoints_of(found.folder) == checkpoints_of(stopped.folder)
    there, here = find_checkpoint(found.run, store=elsewhere), find_checkpoint(stopped.run, store=store)
    assert there.weights_sha256 == here.weights_sha256
    load_weights(there)
    ends = []
    for place, run in ((store, stopped.run), (elsewhere, found.run)):
        place.requeue(run)
        place.claim("cpu", run)
        ends.append(execute(place, run).result["weights_sha256"])
    assert ends[0] == ends[1]
    assert not list(elsewhere.root.glob(".import*"))


def test_a_taken_id_gets_a_new_one(store: Store, stopped: Run, exported: Path) -> None:
    found = import_run(store, exported)
    assert found.run != stopped.run
    assert (found.name, found.note, found.status) == (stopped.name, stopped.note, "stopped")
    store.delete(stopped.run)
    assert import_run(store, exported).run not in (stopped.run, found.run), "a deleted one may come back"
    store.purge(stopped.run)
    assert import_run(store, exported).run == stopped.run


def test_into_and_from_an_open_file(store: Store, stopped: Run, exported: Path, elsewhere: Store) -> None:
    """As a page does it."""
    file = io.BytesIO()
    export_run(store, stopped.run, file)
    file.seek(0)
    assert import_run(elsewhere, file).run == stopped.run
    assert file.getvalue()[:2] == b"PK"


def test_a_waiting_run_arrives_as_interrupted(store: Store, small: Small, tmp_path: Path, elsewhere: Store) -> None:
    run = store.create(small(), "cpu").run
    export_run(store, run, tmp_path / "waiting.zip")
    found = import_run(elsewhere, tmp_path / "waiting.zip")
    assert (found.status, elsewhere.waiting_devices()) == ("interrupted", ())


def test_export_that_cannot_be_written(store: Store, stopped: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export_run(store, stopped.run, tmp_path / "no" / "folder.zip")
    assert caught.value.code == "not_writable"
    with pytest.raises(UserError, match="There is no run"):
        export_run(store, "nobody", tmp_path / "x.zip")
    assert not list(tmp_path.glob(".*"))


# -- what is not let in ------------------------------------------------------------------------------------------------------------------


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def write(file: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as out:
        for name, data in contents.items():
            out.writestr(name, data)
    return file


def refused(store: Store, file: Path) -> str:
    """The reason; nothing of it is left in the store."""
    before = sorted(str(path) for path in store.root.rglob("*"))
    with pytest.raises(UserError) as caught:
        import_run(store, file)
    assert caught.value.code == "archive_refused"
    assert store.runs() == ()
    after = sorted(str(path) for path in store.root.rglob("*"))
    assert [path for path in after if "sqlite" not in path] == [path for path in before if "sqlite" not in path]
    return str(caught.value.values["reason"])


@pytest.mark.parametrize(
    "name",
    ["../evil.safetensors", "/tmp/evil", "a/last.safetensors", "..\\evil", "evil.py", "runs.sqlite", "last.safetensors/", "epoch-1.pt", "RUN.JSON", "last.safetensors\n"],
)  # fmt: skip
def test_a_name_that_no_run_has(exported: Path, elsewhere: Store, name: str, tmp_path: Path) -> None:
    assert "which no exported run has" in refused(elsewhere, write(exported, {**members(exported), name: b"x"}))
    assert not list(tmp_path.rglob("evil*"))


def edited(file: Path, change: Callable[[dict[str, Any]], object], member: str = archive.ROW) -> Path:
    contents = members(file)
    described = json.loads(contents[member])
    change(described)
    return write(file, {**contents, member: json.dumps(described).encode()})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format="other-1"), "format"),
        (lambda d: d.pop("config"), "settings"),
        (lambda d: d["config"]["train"].update(epochs=-5), "settings are not valid"),
        (lambda d: d["config"].update(evil={}), "settings"),
        (lambda d: d.update(config=[]), "settings"),
        (lambda d: d.update(row=None), "row"),
        (lambda d: d["row"].update(name=7), "name"),
        (lambda d: d["row"].update(epoch="1; DROP TABLE runs"), "epoch"),
        (lambda d: d["row"].update(created=1e300), "created"),
        (lambda d: d.update(facts="x"), "facts"),
        (lambda d: d["facts"].pop("parameters"), "parameters in facts"),
        (lambda d: d["facts"].update(device=7), "device in facts"),
        (lambda d: d["facts"].update(convolution="magic"), "convolution in facts"),
        (lambda d: d["facts"].update(precision="float8"), "precision in facts"),
        (lambda d: d["result"].update(test_accuracy="x"), "test_accuracy"),
        (lambda d: d["result"].update(test_accuracy=0.9), "without what comes with it"),
        (lambda d: d["result"].update(seconds=float("nan")), "seconds"),
        (lambda d: d["result"].update(tested=["last"]), "tested"),
        (lambda d: d.update(error=["no_such_code", {}]), "error"),
        (lambda d: d.update(error=["disk_full", {"path": "only"}]), "error"),
        (lambda d: d.update(error="disk_full"), "error"),
    ],
)
def test_a_row_that_is_not_valid(exported: Path, elsewhere: Store, change: Callable[[dict[str, Any]], object], reason: str) -> None:
    assert reason in refused(elsewhere, edited(exported, change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("steps"), "steps"),
        (lambda d: d["steps"][0].pop(), "steps"),
        (lambda d: d["steps"][0].__setitem__(2, "x"), "loss in steps"),
        (lambda d: d["steps"][0].__setitem__(5, "[1]"), "gradient_norms"),
        (lambda d: d["steps"][0].__setitem__(5, '{"stem": "x"}'), "gradient_norms"),
        (lambda d: d["steps"][0].__setitem__(5, '{"other": 1.0}'), "same parts"),
        (lambda d: d["steps"][0].__setitem__(2, float("nan")), "loss in steps"),
        (lambda d: d["steps"][0].__setitem__(2, 10**30), "loss in steps"),
        (lambda d: d["steps"][0].__setitem__(0, 0.5), "step in steps"),
        (lambda d: d["steps"].append(d["steps"][0]), "comes twice"),
        (lambda d: d["blocks"][0].__setitem__(1, '[{"name": "stages.0.0"}]'), "statistics"),
        (lambda d: d["blocks"][0].__setitem__(1, d["blocks"][0][1].replace("stages.0.0", "").replace('""', "5")), "statistics"),
        (lambda d: d["notices"].append([1, "early_stopped", "{}"]), "cannot be said"),
        (lambda d: d["epochs"][0].__setitem__(3, None), "train_accuracy in epochs"),
        (lambda d: d["blocks"][0].__setitem__(1, "{"), "statistics"),
        (lambda d: d["notices"].append([1, "no_such_note", "{}"]), "note"),
        (lambda d: d.update(epochs={}), "epochs"),
    ],
)
def test_metrics_that_are_not_valid(exported: Path, elsewhere: Store, change: Callable[[dict[str, Any]], object], reason: str) -> None:
    assert reason in refused(elsewhere, edited(exported, change, archive.METRICS))


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('it ran')",)


def test_a_pickle_in_the_place_of_the_state(exported: Path, elsewhere: Store) -> None:
    payload = pickle.dumps({"step": Harmful()}, protocol=2)
    state = digest(payload).encode() + b"\n" + payload
    assert "resume.pt" in refused(elsewhere, write(exported, {**members(exported), "resume.pt": state}))


def test_weights_that_are_not_whole(exported: Path, elsewhere: Store, small: Small) -> None:
    contents = members(exported)
    weights = contents["last.safetensors"]
    for data in (weights[:-1], weights[:-1] + bytes([weights[-1] ^ 1]), b"", pickle.dumps(Harmful())):
        assert "last.safetensors" in refused(elsewhere, write(exported, {**contents, "last.safetensors": data}))
    other = edited(write(exported, contents), lambda d: d["config"]["model"].update(model="resnet14"))
    assert "another network" in refused(elsewhere, other)


def test_a_torn_or_changed_zip(exported: Path, elsewhere: Store, tmp_path: Path) -> None:
    data = exported.read_bytes()
    for broken in (data[: len(data) // 2], data[:-30], b"", b"not a zip", data[:3000] + bytes([data[3000] ^ 1]) + data[3001:]):
        exported.write_bytes(broken)
        assert refused(elsewhere, exported)
    with pytest.raises(UserError) as caught:
        import_run(elsewhere, tmp_path / "nowhere.zip")
    assert caught.value.code == "file_missing"


def test_sizes_are_bounded(exported: Path, elsewhere: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = members(exported)
    for missing in (archive.ROW, archive.METRICS):
        assert "missing" in refused(elsewhere, write(exported, {name: data for name, data in contents.items() if name != missing}))
    large = write(exported, {**contents, archive.ROW: contents[archive.ROW] + b" " * (archive.LIMITS[archive.ROW] + 1)})
    assert "too large" in refused(elsewhere, large)
    write(exported, contents)
    monkeypatch.setattr(archive, "TOTAL_LIMIT", 50_000)
    assert "too large" in refused(elsewhere, exported)
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 20_000)
    assert "safetensors is too large" in refused(elsewhere, exported)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(exported: Path, elsewhere: Store) -> None:
    with zipfile.ZipFile(exported, "a") as opened:
        opened.writestr(archive.ROW, "{}")
    assert "twice" in refused(elsewhere, exported)
