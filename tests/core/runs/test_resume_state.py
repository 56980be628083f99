"""However a save was broken off and whatever became of a file: the newest whole state is the one that is used."""

import io
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_core.errors import UserError
from resnet_core.runs import resume_state
from resnet_core.runs.files import digest
from resnet_core.runs.resume_state import FRESH, NEWEST, PREVIOUS, has_resume_state, load_resume_state, save_resume_state


def save(folder: Path, step: int) -> None:
    save_resume_state(folder, {"step": step, "model": {"weight": torch.full((50,), float(step))}, "history": [{"loss": 0.5}], "none": None})


def step_of(folder: Path) -> Any:
    found = load_resume_state(folder, "r")
    assert found is not None
    assert torch.equal(found.state["model"]["weight"], torch.full((50,), float(found.state["step"])))
    return found.state["step"], found.damaged


def flip(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(bytes(data))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with the states of steps 1 and 2."""
    folder = tmp_path / "run"
    save(folder, 1)
    save(folder, 2)
    return folder


def test_nothing_was_saved(tmp_path: Path) -> None:
    assert load_resume_state(tmp_path, "r") is None
    assert not has_resume_state(tmp_path)


def test_two_generations_are_kept(two: Path) -> None:
    save(two, 3)
    assert {file.name for file in two.iterdir()} == {NEWEST, PREVIOUS}
    assert has_resume_state(two)
    assert step_of(two) == (3, None)
    (two / NEWEST).unlink()
    assert step_of(two) == (2, None)


@pytest.mark.parametrize("position", [0, 30, 64, 65, 200, -1])
def test_a_flipped_bit_falls_back_to_the_one_before(two: Path, position: int) -> None:
    flip(two / NEWEST, position)
    step, damaged = step_of(two)
    assert step == 1
    assert damaged == f"{NEWEST}: its checksum does not match"


@pytest.mark.parametrize("size", [0, 10, 65, 300])
def test_a_torn_file_falls_back_to_the_one_before(two: Path, size: int) -> None:
    data = (two / NEWEST).read_bytes()
    (two / NEWEST).write_bytes(data[:size])
    step, damaged = step_of(two)
    assert step == 1
    assert damaged is not None
    assert damaged.startswith(NEWEST)


def test_a_damaged_one_never_becomes_the_one_before(two: Path) -> None:
    flip(two / NEWEST, -1)
    assert step_of(two)[0] == 1
    save(two, 5)
    flip(two / NEWEST, -1)
    assert step_of(two)[0] == 1, "the good one is still there"


def test_both_damaged(two: Path) -> None:
    flip(two / NEWEST, -1)
    (two / PREVIOUS).write_bytes(b"")
    with pytest.raises(UserError, match=rf"Run my-run .*{NEWEST}: its checksum.*{PREVIOUS}: it is empty") as caught:
        load_resume_state(two, "my-run")
    assert caught.value.code == "resume_damaged"
    assert {file.name for file in two.iterdir()} == {NEWEST, PREVIOUS}, "nothing is taken away"


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('it ran')",)


def payload(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "list":
        torch.save([1, 2], buffer)
    elif kind == "code":
        torch.save({"step": Harmful()}, buffer)
    return {"text": b"not a torch file", "nothing": b"", "pickle": pickle.dumps({"step": Harmful()})}.get(kind, buffer.getvalue())


@pytest.mark.parametrize("kind", ["text", "nothing", "pickle", "list", "code"])
def test_a_right_checksum_over_something_else(two: Path, kind: str) -> None:
    """Not readable, and nothing in it is run."""
    content = payload(kind)
    (two / NEWEST).write_bytes(digest(content).encode() + b"\n" + content)
    assert step_of(two) == (1, f"{NEWEST}: its content is not a state")
    (two / PREVIOUS).unlink()
    (two / NEWEST).write_bytes(digest(content).encode() + b"\n" + content)
    with pytest.raises(UserError) as caught:
        load_resume_state(two, "r")
    assert caught.value.code == "resume_damaged"


def test_killed_between_any_two_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder as it is after each single change that a save makes: one of the two states, and from the new file on the new one."""
    folder, shots = tmp_path / "run", tmp_path / "shots"
    save(folder, 1)
    save(folder, 2)
    count = 0

    def shoot() -> None:
        nonlocal count
        shutil.copytree(folder, shots / str(count))
        count += 1

    for name in ("replace", "unlink"):
        original = getattr(Path, name)

        def spied(self: Path, *arguments: Any, _original: Any = original, **options: Any) -> Any:
            shoot()
            result = _original(self, *arguments, **options)
            shoot()
            return result

        monkeypatch.setattr(Path, name, spied)
    save(folder, 3)
    monkeypatch.undo()
    names = [sorted(file.name for file in (shots / str(index)).iterdir() if not file.name.startswith(".")) for index in range(count)]
    assert sorted([FRESH, NEWEST, PREVIOUS]) in names, "after the new file, before the moves"
    assert sorted([FRESH, PREVIOUS]) in names, "between the moves"
    for index, files in enumerate(names):
        assert step_of(shots / str(index)) == (3 if FRESH in files or index == count - 1 else 2, None), files
        save(shots / str(index), 4)  # and it goes on from there, with a state before the newest one
        assert step_of(shots / str(index)) == (4, None)
        flip(shots / str(index) / NEWEST, -1)
        assert step_of(shots / str(index))[0] in (1, 2, 3)


def test_a_torn_temporary_file_is_no_state(two: Path) -> None:
    (two / f".{NEWEST}.new.77.ab").write_bytes(b"torn")
    assert step_of(two) == (2, None)
    (two / FRESH).write_bytes(b"torn")
    assert step_of(two) == (2, f"{FRESH}: its checksum does not match")


def test_a_full_disk_keeps_what_was_there(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError) as caught:
        save(two, 3)
    assert caught.value.code == "disk_full"
    monkeypatch.undo()
    assert step_of(two) == (2, None)
    assert {file.name for file in two.iterdir()} == {NEWEST, PREVIOUS}


def test_an_unreadable_file_is_said_and_kept(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (two / NEWEST).unlink()
    (two / NEWEST).mkdir()  # root reads any file, but no folder
    monkeypatch.setattr(resume_state.Path, "unlink", lambda self, missing_ok=False: pytest.fail("taken away"))
    (two / PREVIOUS).write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        load_resume_state(two, "r")
    assert caught.value.code == "resume_damaged"
    assert "directory" in str(caught.value)
