"""A checkpoint by whatever people call it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.runs import (
    Checkpoint,
    Store,
    checkpoints_of,
    find_checkpoint,
    load_weights,
    model_card,
    opening,
    save_checkpoint,
    shipped_names,
)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: Checkpoint) -> Path:
    folder = tmp_path / "shipped"
    monkeypatch.setattr(opening, "SHIPPED", folder)
    for name in ("resnet20-digits", "resnet18-digits", "plain20-digits"):
        save_checkpoint(folder / f"{name}.safetensors", load_weights(saved), saved.config, saved.spec, {"which": name})
    (folder / "resnet20-digits.md").write_text("# Card")
    return folder


@pytest.fixture
def run(store: Store, saved: Checkpoint, small: Callable[..., RunConfig]) -> str:
    """A run that kept first, epoch-2, epoch-10, last and best, and says which one was tested."""
    found = store.create(small(), "cpu")
    for name in ("last", "best", "first", "epoch-10", "epoch-2"):
        save_checkpoint(found.folder / f"{name}.safetensors", load_weights(saved), saved.config, saved.spec, {"which": name})
    (found.folder / ".last.safetensors.1.ab").write_bytes(b"torn")
    (found.folder / "epoch-x.safetensors").write_bytes(b"somebody's own")
    store.update(found.run, result={"tested": "best"})
    return found.run


def which(name: str) -> str:
    return str(find_checkpoint(name).metrics["which"])


def test_by_shipped_name(shipped: Path, own_runs: Path) -> None:
    assert shipped_names() == ("resnet20-digits", "resnet18-digits", "plain20-digits")  # the pair before a network without a twin
    assert which("resnet20-digits") == "resnet20-digits"
    assert find_checkpoint("plain20-digits").name == "plain20-digits"
    assert model_card("resnet20-digits") == shipped / "resnet20-digits.md"
    assert model_card("plain20-digits") is None
    assert not own_runs.exists(), "looking at a shipped one makes no store"


@pytest.mark.parametrize(
    ("status", "code"), [("running", "checkpoint_no_weights"), ("queued", "checkpoint_no_weights"), ("stopped", "checkpoint_never_written")]
)
def test_a_run_without_weights_says_whether_to_wait(store: Store, small: Callable[..., RunConfig], status: str, code: str) -> None:
    found = store.create(small(), "cpu", status=status)
    with pytest.raises(UserError) as caught:
        find_checkpoint(found.run)
    assert caught.value.code == code


def test_by_run_and_its_other_checkpoints(run: str, store: Store) -> None:
    assert which(run) == "best", "what was tested"
    store.update(run, result={})
    assert which(run) == "last"
    for name in ("first", "last", "best", "epoch-2", "epoch-10"):
        assert which(f"{run}@{name}") == name
    assert find_checkpoint(f"{run}@best").name == f"{run}@best"
    assert checkpoints_of(store.run(run).folder) == ("first", "epoch-2", "epoch-10", "last", "best")


def test_by_path(saved: Checkpoint, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(str(saved.path)).weights_sha256 == saved.weights_sha256
    monkeypatch.chdir(saved.path.parent)
    assert find_checkpoint("small.safetensors").path == Path("small.safetensors")
    saved.path.rename(saved.path.with_suffix(".weights"))
    assert find_checkpoint("small.weights").weights_sha256 == saved.weights_sha256


def test_unknown_names_list_what_is_near(shipped: Path, run: str) -> None:
    for name, hint in (("resnet20-digit", "did you mean resnet20-digits"), (f"{run}x", run), ("", "known: "), ("zzz", "plain20-digits")):
        with pytest.raises(UserError, match=hint) as caught:
            find_checkpoint(name)
        assert caught.value.code == "checkpoint_missing"
    with pytest.raises(UserError, match="did you mean epoch-2") as caught:
        find_checkpoint(f"{run}@epoch-3")
    assert caught.value.code == "checkpoint_missing"


def test_many_runs_are_not_read_out(store: Store, small: Callable[..., RunConfig]) -> None:
    for _ in range(9):
        store.create(small(), "cpu")
    with pytest.raises(UserError, match="runs list") as caught:
        find_checkpoint("zzzzzz")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "no/such/folder", "~", "."])
def test_strange_names_are_unknown_too(store: Store, name: str) -> None:
    with pytest.raises(UserError) as caught:
        find_checkpoint(name)
    assert caught.value.code == "checkpoint_missing"


def test_a_run_without_weights(store: Store, small: Callable[..., RunConfig]) -> None:
    found = store.create(small(), "cpu")
    with pytest.raises(UserError, match="no finished epoch") as caught:
        find_checkpoint(found.run)
    assert caught.value.code == "checkpoint_no_weights"
    with pytest.raises(UserError, match="it has none yet"):
        find_checkpoint(f"{found.run}@best")


def test_a_deleted_run_is_not_found(store: Store, run: str) -> None:
    store.delete(run)
    with pytest.raises(UserError):
        find_checkpoint(run)
    store.restore(run)
    assert which(run) == "best"
