"""The worker in this process: what a whole training leaves behind."""

from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_core.calibration import fit_temperature
from resnet_core.data import load_splits
from resnet_core.runs import (
    Store,
    checkpoints_of,
    find_checkpoint,
    load_model,
    load_weights,
    read_checkpoint,
    read_epochs,
    read_steps,
    worker,
)
from resnet_core.runs.worker import execute
from resnet_core.training import EpochDone, RunStarted, StepDone, evaluate
from resnet_core.training.loop import Training
from tests.core.runs.worker.running import Small, claimed, claimed_and_ended


def test_a_whole_run_is_the_training_itself(store: Store, small: Small) -> None:
    """Everything in the store and in the files is what train() and evaluate() give when they are called directly."""
    config = small(epochs=2, keep_every=1)
    run = claimed(store, config)
    ended = execute(store, run)
    splits = load_splits(config.data)
    training = Training(config, splits, device=torch.device("cpu"))
    events = list(training.events())
    assert read_steps(store, run).loss == [event.loss for event in events if isinstance(event, StepDone)]
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [(row.valid_loss, row.train_accuracy) for row in read_epochs(store, run)] == [(e.valid_loss, e.train_accuracy) for e in epochs]
    last = read_checkpoint(ended.folder / "last.safetensors")
    assert all(torch.equal(tensor, training.model.state_dict()[name]) for name, tensor in load_weights(last).items())
    test = evaluate(training.model, splits.test, splits.spec)
    assert (ended.status, ended.test_accuracy, ended.result["test_loss"]) == ("finished", test.accuracy, test.loss)
    assert (last.metrics["test_accuracy"], last.metrics["epoch"], last.metrics["step"]) == (test.accuracy, 2, 32)
    assert ended.result["weights_sha256"] == last.weights_sha256
    assert checkpoints_of(ended.folder) == ("first", "epoch-1", "epoch-2", "last", "best")
    assert find_checkpoint(run).weights_sha256 == last.weights_sha256
    (facts,) = [event for event in events if isinstance(event, RunStarted)]
    assert ended.facts == vars(facts)
    assert ended.error is None
    assert ended.ended is not None


def test_first_is_the_network_before_its_first_step(store: Store, small: Small) -> None:
    run = claimed(store, small(epochs=1, seed=4))
    ended = execute(store, run)
    from resnet_core.runs import initial_model

    first = read_checkpoint(ended.folder / "first.safetensors")
    drawn = initial_model(first).state_dict()
    assert all(torch.equal(tensor, drawn[name]) for name, tensor in load_weights(first).items())


def test_rows_are_in_the_store_before_the_state_that_goes_on_after_them(
    store: Store, small: Small, monkeypatch: pytest.MonkeyPatch, look_always: None
) -> None:
    """A process killed right after any save has told of every step up to it, and of every epoch."""
    monkeypatch.setattr(worker, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(worker, "SAVE_SHARE", 1e9)
    original, saves = worker.save_resume_state, []

    def save(folder: Path, state: dict[str, Any]) -> None:
        saves.append(state["step"])
        assert read_steps(store, run).step == list(range(1, state["step"] + 1))
        assert [row.epoch for row in read_epochs(store, run)] == list(range(1, state["epochs_done"] + 1))
        original(folder, state)

    monkeypatch.setattr(worker, "save_resume_state", save)
    run = claimed(store, small(epochs=2))
    assert execute(store, run).status == "finished"
    assert set(saves) == set(range(33))


# -- commands ------------------------------------------------------------------------------------------------------------------------


def test_a_pair_computes_alike(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []

    def plan(self: Training, *, anew: bool) -> object:
        assert not anew
        planned.append(self.config.model.model)
        return worker.ComputePlan(precision="float32", memory_format="channels_last", convolution="winograd", timings={"x": 1.0})

    monkeypatch.setattr(Training, "_plan", plan)
    auto = {"precision": "auto", "memory_format": "auto", "epochs": 1}
    first = store.create(small(**auto), "cpu", pair="p").run
    second = store.create(small(model="plain8", **auto), "cpu", pair="p").run
    alone = store.create(small(model="plain8", **auto), "cpu").run
    chosen = store.create(small(model="plain8", **{**auto, "memory_format": "contiguous"}), "cpu", pair="p").run
    for run in (first, second, alone, chosen):
        store.claim("cpu", run)
        execute(store, run)
    assert planned == ["resnet8", "plain8", "plain8"], "not asked again for the second of the pair"
    facts = store.run(second).facts
    assert (facts["precision"], facts["memory_format"], facts["convolution"]) == ("float32", "channels_last", "winograd")


def test_the_pair_starts_with_the_same_weights_and_sees_the_same_order(store: Store, small: Small) -> None:
    runs = [claimed_and_ended(store, small(model=model, epochs=1)) for model in ("resnet8", "plain8")]
    first = [load_weights(find_checkpoint(f"{run}@first")) for run in runs]
    assert set(first[0]) == set(first[1])
    assert all(torch.equal(tensor, first[1][name]) for name, tensor in first[0].items())


def test_starting_from_another_runs_weights(store: Store, small: Small) -> None:
    source = claimed_and_ended(store, small(epochs=1))
    run = claimed_and_ended(store, small(epochs=1, start_from=source, seed=9))
    assert find_checkpoint(f"{run}@first").weights_sha256 == find_checkpoint(source).weights_sha256
    other = execute(store, claimed(store, small(model="resnet14", start_from=source)))
    assert (other.status, other.error and other.error[0]) == ("failed", "weights_do_not_fit")


def test_the_result_is_what_load_model_gives(store: Store, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_core.calibration.LEAST_IMAGES", 10)
    config = small(epochs=1)
    run = claimed_and_ended(store, config)
    splits = load_splits(config.data)
    assert evaluate(load_model(find_checkpoint(run)), splits.test, splits.spec).accuracy == store.run(run).test_accuracy
    valid = evaluate(load_model(find_checkpoint(run)), splits.valid, splits.spec)
    assert find_checkpoint(run).metrics["temperature"] == fit_temperature(valid.logits, splits.valid.labels)
