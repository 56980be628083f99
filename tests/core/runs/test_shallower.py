"""Removing blocks makes a checkpoint that opens like any other, gives what the lesioned network gives, and trains on."""

from pathlib import Path

import pytest
import torch

from resnet_core.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from resnet_core.data import load_spec, load_split, normalize
from resnet_core.errors import UserError
from resnet_core.inspection import lesion_accuracies, lesioned
from resnet_core.models import block_places, build_model
from resnet_core.runs import (
    Checkpoint,
    Store,
    export_run,
    find_checkpoint,
    import_run,
    load_model,
    load_weights,
    read_checkpoint,
    save_checkpoint,
)
from resnet_core.runs.shallower import Removal, adopt_shallower, can_be_removed, save_shallower, shallower
from resnet_core.runs.worker import execute

SPEC = load_spec(DataConfig())


@pytest.fixture(params=["resnet14", "plain14"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    config = RunConfig(model=ModelConfig(model=request.param, width=0.5), train=TrainConfig(epochs=4))
    weights = build_model(config.model, SPEC, seed=3).state_dict()
    save_checkpoint(
        tmp_path / "whole.safetensors", weights, config, SPEC, {"epoch": 4, "step": 80, "test_accuracy": 0.9, "valid_accuracy": 0.8}
    )
    return read_checkpoint(tmp_path / "whole.safetensors", "whole")


def removal(*blocks: str) -> Removal:
    return Removal(blocks=blocks, accuracy_before=0.5, accuracy_after=0.4, images=30)


def test_it_is_a_run_with_the_lesioned_network_s_logits(trained: Checkpoint, own_runs: Path) -> None:
    store, blocks = Store(), ("stages.0.1", "stages.2.1")
    run = adopt_shallower(store, trained, removal(*blocks))
    assert (run.status, run.name, run.epoch, run.step) == ("finished", "whole − 1.2, 3.2", 4, 80)
    assert run.test_accuracy is None  # that was the whole network's
    assert run.result["accuracy_after"] == 0.4
    found = find_checkpoint(run.run)
    assert found.config.model.removed_blocks == blocks
    assert "valid_accuracy" not in found.metrics
    assert not found.is_untrained
    whole, less = load_model(trained), load_model(found)
    assert len(block_places(less)) == 4
    _, split = load_split(DataConfig(), "test")
    images = normalize(split.images[:20], SPEC)
    with lesioned(whole, blocks), torch.no_grad():
        assert torch.equal(less(images), whole(images))
    few = split.take(torch.arange(40))
    (without,) = lesion_accuracies(load_model(trained), few, SPEC, [blocks])
    assert lesion_accuracies(less, few, SPEC, [()])[0].accuracy == without.accuracy


def test_more_can_go_from_what_is_left_and_it_travels_as_one_file(trained: Checkpoint, own_runs: Path, tmp_path: Path) -> None:
    store = Store()
    first = adopt_shallower(store, trained, removal("stages.1.1"))
    second = adopt_shallower(store, find_checkpoint(first.run), removal("stages.0.0"))
    assert second.name == "whole − 1.1, 2.2"
    assert second.config.model.removed_blocks == ("stages.0.0", "stages.1.1")
    assert can_be_removed(find_checkpoint(second.run)) == ("stages.0.1", "stages.2.1")
    export_run(store, second.run, tmp_path / "run.zip")
    again = import_run(store, tmp_path / "run.zip")
    assert find_checkpoint(again.run).weights_sha256 == find_checkpoint(second.run).weights_sha256


def test_a_training_starts_from_it(trained: Checkpoint, own_runs: Path) -> None:
    store = Store()
    less = adopt_shallower(store, trained, removal("stages.1.1"))
    values = {"start_from": less.run, "removed_blocks": "stages.1.1", "model": trained.model_name, "width": 0.5}
    config = RunConfig.from_flat({**values, "epochs": 1, "train_limit": 64, "batch_size": 32, "learning_rate": 0.01, "device": "cpu"})
    run = store.create(config, "cpu")
    assert store.claim("cpu", run.run) == run.run
    ended = execute(store, run.run)
    assert ended.status == "finished", ended.error
    start, first, last = (load_weights(find_checkpoint(name)) for name in (less.run, f"{run.run}@first", run.run))
    assert all(torch.equal(tensor, start[name]) for name, tensor in first.items())
    convolutions = [name for name in last if "conv" in name]
    assert not any(torch.equal(last[name], start[name]) for name in convolutions)
    assert not any(name.startswith("stages.1.1.") for name in last)


@pytest.mark.parametrize(
    ("name", "says"), [("stages.1.0", "these can be: stages.0.0"), ("stages.7.0", "its blocks are"), ("conv1", "its blocks are")]
)
def test_a_block_that_cannot_go_is_said_and_nothing_is_written(
    trained: Checkpoint, own_runs: Path, tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(UserError, match=says) as error:
        save_shallower(trained, removal("stages.1.1", name), tmp_path / "less.safetensors")
    assert name in str(error.value)
    with pytest.raises(UserError):
        adopt_shallower(Store(), trained, removal(name))
    assert not (tmp_path / "less.safetensors").exists()
    assert not Store().runs()
    assert shallower(trained, ())[0] == trained.config
