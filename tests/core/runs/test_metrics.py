"""The worker's pen: what it writes is what is read, and a store that fails for a while loses nothing."""

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

import pytest

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.inspection import BlockStatistics
from resnet_core.runs import Store, metrics, read_blocks, read_epochs, read_notices, read_steps
from resnet_core.runs.metrics import RunWriter
from resnet_core.training import BlocksMeasured, EpochDone, Noted, StepDone

BLOCK = BlockStatistics(
    name="stages.0.0", stage=1, block=1, residual_norm=1.5, shortcut_norm=None, output_norm=2.0, ratio=None, ratio_spread=None, cosine=None,
    cosine_spread=None, residual_std=0.1, dead_share=0.25,
)  # fmt: skip


def step(number: int, epoch: int = 1) -> StepDone:
    norms = {"stem": 1 / number, "head": math.inf}
    return StepDone(
        step=number, epoch=epoch, loss=0.1 * number, learning_rate=1e-3 / number, images_per_second=99.5, stage_gradient_norms=norms
    )


def epoch(number: int, at: int, accuracy: float = 0.5, **changes: object) -> EpochDone:
    event = EpochDone(
        epoch=number, step=at, train_loss=1.1, train_accuracy=0.4, valid_loss=1.2, valid_accuracy=accuracy, learning_rate=0.01,
        images_per_second=100.5, seconds=2.5, best=True, trainable=7, block_statistics=(BLOCK,),
    )  # fmt: skip
    return replace(event, **changes)  # type: ignore[arg-type]


@pytest.fixture
def run(store: Store, small: Callable[..., RunConfig]) -> str:
    found = store.create(small(), "cpu").run
    store.claim("cpu", found)
    return found


@pytest.fixture
def writer(store: Store, run: str) -> Iterator[RunWriter]:
    made = RunWriter(store, run)
    yield made
    made.close()


def test_what_is_written_is_read(store: Store, run: str, writer: RunWriter) -> None:
    for number in range(1, 5):
        writer.write(step(number))
    writer.write(BlocksMeasured(step=2, block_statistics=(BLOCK,)))
    writer.write(epoch(1, 4))
    writer.write(Noted(code="early_stopped", values={"epochs": 3}))
    writer.flush()
    steps = read_steps(store, run)
    assert (steps.step, steps.epoch, len(steps)) == ([1, 2, 3, 4], [1] * 4, 4)
    assert steps.loss == [0.1 * number for number in range(1, 5)], "every bit of it"
    assert steps.learning_rate == [1e-3 / number for number in range(1, 5)]
    assert steps.gradient_norms == {"stem": [1.0, 1 / 2, 1 / 3, 1 / 4], "head": [math.inf] * 4}
    assert read_steps(store, run, after=3).step == [4]
    assert len(read_steps(store, "nobody")) == 0
    (row,) = read_epochs(store, run)
    told = asdict(epoch(1, 4))
    del told["block_statistics"]
    assert asdict(row) == told
    assert read_blocks(store, run) == {2: (BLOCK,), 4: (BLOCK,)}
    (notice,) = read_notices(store, run)
    assert (notice.step, notice.code, notice.values) == (4, "early_stopped", {"epochs": 3})
    found = store.run(run)
    assert (found.step, found.epoch, found.valid_accuracy, found.best_valid_accuracy, found.images_per_second) == (4, 1, 0.5, 0.5, 99.5)


def test_a_run_s_speed_is_that_of_its_last_steps(store: Store, run: str, writer: RunWriter) -> None:
    """20 of them: their images through the time that they took, so that one slow step is one of twenty."""
    for number in range(1, 30):
        writer.write(replace(step(number), images_per_second=1.0))
    for number in range(30, 50):
        writer.write(replace(step(number), images_per_second=100.0 if number != 40 else 25.0))
    writer.flush()
    assert store.run(run).images_per_second == pytest.approx(20 / (19 / 100 + 1 / 25))


def test_a_validation_loss_that_is_no_number_is_no_damage(store: Store, run: str, writer: RunWriter) -> None:
    writer.write(epoch(1, 4, valid_loss=math.nan))
    writer.write(epoch(2, 8, valid_loss=math.inf))
    writer.flush()
    first, second = read_epochs(store, run)
    assert math.isnan(first.valid_loss)
    assert second.valid_loss == math.inf


def test_rows_beyond_the_state_are_forgotten(store: Store, run: str, writer: RunWriter) -> None:
    for number in range(1, 4):
        for position in range(3):
            writer.write(step(3 * (number - 1) + position + 1, number))
        writer.write(epoch(number, 3 * number, accuracy=(0.0, 0.6, 0.5, 0.9)[number]))
    writer.forget_after(7, 2)
    assert read_steps(store, run).step == list(range(1, 8))
    assert [row.epoch for row in read_epochs(store, run)] == [1, 2]
    assert list(read_blocks(store, run)) == [3, 6]
    found = store.run(run)
    assert (found.step, found.epoch, found.valid_accuracy, found.best_valid_accuracy) == (7, 2, 0.5, 0.6)
    writer.forget_after(0, 0)
    found = store.run(run)
    assert (found.step, found.epoch, found.valid_accuracy, found.best_valid_accuracy) == (0, 0, None, None)


def test_commands_come_once_and_in_order(store: Store, run: str, writer: RunWriter) -> None:
    for command in ("pause", "resume", "stop"):
        store.send(run, command)
    assert writer.commands() == ["pause", "resume", "stop"]
    assert writer.commands() == []
    store.send(run, "pause")
    assert writer.commands() == ["pause"]
    writer.flush()
    with store.connection() as db:
        assert db.execute("SELECT count(*) FROM commands").fetchone()[0] == 0


def test_a_store_locked_for_a_while_loses_no_row(store: Store, run: str, writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(metrics, "LOCKED_SECONDS", 0.02)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(1, 20):
        writer.write(step(number))
    assert writer.commands() == []
    assert len(read_steps(store, run)) == 0
    other.close()
    writer.flush()
    assert read_steps(store, run).step == list(range(1, 20))


def test_a_store_locked_for_too_long_ends_the_training(store: Store, writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FLUSH_SECONDS", 0.0), ("LOCKED_SECONDS", 0.01), ("GIVE_UP_SECONDS", 0.05)):
        monkeypatch.setattr(metrics, name, value)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        written = 0

        def write_on() -> None:
            nonlocal written
            while written < 1000:
                written += 1
                writer.write(step(written))
                time.sleep(0.005)

        with pytest.raises(UserError) as caught:
            write_on()
        assert caught.value.code == "store_locked"
        assert written > 2
    finally:
        other.close()


def test_many_steps_are_one_commit(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """No commit, no read: counted, not timed."""
    monkeypatch.setattr(metrics, "FLUSH_SECONDS", 1000.0)
    writer.flush()
    statements: list[str] = []
    writer._connection.set_trace_callback(statements.append)
    for number in range(1, 100):
        writer.write(step(number))
    assert statements == []
    writer.flush()
    assert sum(statement.startswith("COMMIT") for statement in statements) == 1
