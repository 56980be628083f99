"""What comes with the project: weights with their history, card and recipe, and what judging sketches needs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_core import cli
from resnet_core.calibration import fit_temperature
from resnet_core.config import RunConfig
from resnet_core.data import DATASETS, load_split
from resnet_core.errors import UserError
from resnet_core.familiarity import kept_familiarity
from resnet_core.inspection import BlockStatistics
from resnet_core.models import build_model
from resnet_core.recipes import read_recipe
from resnet_core.runs import (
    Store,
    find_checkpoint,
    load_model,
    load_weights,
    read_blocks,
    read_checkpoint,
    read_epochs,
    read_steps,
    save_checkpoint,
    shipped_gradient_norms,
    shipped_names,
)
from resnet_core.runs.adopting import adopt_weights
from resnet_core.runs.checkpoint import stored_weights
from resnet_core.runs.metrics import RunWriter
from resnet_core.shipping import complete, ship
from resnet_core.statistics import wilson_interval
from resnet_core.training import evaluate


def test_an_older_checkpoint_gets_its_temperature_and_what_it_knows_of_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_core.familiarity.REFERENCES", 60)
    monkeypatch.setattr("resnet_core.familiarity.CALIBRATION", 60)
    config = RunConfig.from_flat({"model": "resnet8", "width": 0.25, "dataset": "mnist-mini", "valid_fraction": 0.02})
    spec, file = DATASETS["mnist-mini"].spec, tmp_path / "old.safetensors"
    save_checkpoint(file, build_model(config.model, spec, seed=0).state_dict(), config, spec, {"epoch": 1, "step": 80, "note": "kept"})
    before = read_checkpoint(file)
    complete(file)
    after = read_checkpoint(file)
    _, valid = load_split(config.data, "valid")
    logits = evaluate(load_model(before), valid, spec).logits
    assert after.metrics == {**before.metrics, "temperature": fit_temperature(logits, valid.labels)}
    assert after.weights_sha256 == before.weights_sha256
    assert kept_familiarity(after) is not None
    assert (tmp_path / "old.digits.npz").stat().st_size < 200_000


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_core.familiarity.REFERENCES", 60)
    monkeypatch.setattr("resnet_core.familiarity.CALIBRATION", 60)


@pytest.mark.usefixtures("quick")
def test_a_shipped_run_brings_its_history_and_recipe_and_no_path_of_the_machine(digits: str, own_runs: Path, tmp_path: Path) -> None:
    settings = ("width=0.25", "batch_size=64", "precision=float32", "memory_format=contiguous", "device=cpu", "epochs=2", "image_size=28")
    options = [text for setting in settings for text in ("--set", setting)]
    assert cli.run(["train", "--model", "resnet8", "--dataset", digits, *options]) == 0
    store = Store()
    (run,) = store.runs()
    folder = tmp_path / "shipped"
    folder.mkdir()
    writer = RunWriter(store, run.run)
    writer.set(valid_accuracy=0.98765)  # of the last epoch, where the best one is shipped
    writer.close()
    file = ship(store, run.run, "tiny", folder)
    found, trained = read_checkpoint(file), read_checkpoint(run.folder / "last.safetensors")
    assert found.weights_sha256 == trained.weights_sha256
    name = f"image-folder:{Path(digits.partition(':')[2]).name}"
    assert found.config == replace(trained.config, data=replace(trained.config.data, dataset=name))
    assert f"validation accuracy {found.metrics['valid_accuracy']:.4f}" in (folder / "tiny.md").read_text()
    history = found.metrics["history"]
    assert [row["valid_accuracy"] for row in history["epochs"]] == [row.valid_accuracy for row in read_epochs(store, run.run)]
    assert {int(step): [BlockStatistics(**block) for block in blocks] for step, blocks in history["blocks"].items()} == {
        step: list(blocks) for step, blocks in read_blocks(store, run.run).items()
    }
    kept, norms = shipped_gradient_norms(found.metrics)
    steps = read_steps(store, run.run)
    assert kept == steps.step
    assert list(norms) == list(steps.gradient_norms)
    for part, values in norms.items():
        assert values == pytest.approx(steps.gradient_norms[part], rel=1e-3)
    recipe, card = folder / "recipes" / "tiny.toml", (folder / "tiny.md").read_text()
    assert RunConfig.from_flat(read_recipe(recipe)) == found.config
    interval = wilson_interval(round(run.result["test_accuracy"] * 100), 100)
    assert f"{interval.low:.2%} to {interval.high:.2%}" in card
    assert f"--recipe shipped/recipes/{recipe.name}" in card
    for text in (card, recipe.read_text(), file.read_bytes().decode("latin-1")):
        assert digits.partition(":")[2] not in text
    for name in ("../elsewhere", "a b", "", "Ä"):
        with pytest.raises(UserError) as caught:
            ship(store, run.run, name, folder)
        assert caught.value.code == "bad_name"
    assert sorted(file.name for file in tmp_path.iterdir() if "elsewhere" in file.name) == []
    stopped = store.create(run.config, "cpu", status="stopped")
    with pytest.raises(UserError) as caught:
        ship(store, stopped.run, "stopped", folder)
    assert caught.value.code == "run_not_finished"
    imported = adopt_weights(store, run.folder / "last.safetensors", None).run
    with pytest.raises(UserError, match="not trained here") as caught:
        ship(store, imported.run, "imported", folder)
    assert caught.value.code == "run_not_finished"
    # in half the bits
    small = read_checkpoint(ship(store, run.run, "small", folder, half=True))
    stored, trained_weights = stored_weights(small), load_weights(trained)
    assert {name: tensor.dtype for name, tensor in stored.items() if tensor.ndim > 1} == dict.fromkeys(
        [name for name, tensor in trained_weights.items() if tensor.ndim > 1], torch.float16
    )
    for name, tensor in load_weights(small).items():
        assert tensor.dtype == trained_weights[name].dtype
        assert torch.allclose(tensor, trained_weights[name], rtol=2**-10, atol=1e-7)
    images = load_split(trained.config.data, "test")[1]
    measured = evaluate(load_model(small), images, small.spec)
    assert small.metrics["test_accuracy"] == measured.accuracy
    assert small.metrics["test_loss"] == pytest.approx(measured.loss, rel=1e-6)
    assert small.metrics["test_loss"] != trained.metrics["test_loss"]
    card = (folder / "small.md").read_text()
    assert f"test accuracy {measured.accuracy:.4f}" in card
    assert "float16" in card


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_checkpoint_has_its_recipe_and_its_row(name: str) -> None:
    found = find_checkpoint(name)
    table = (found.path.parent / "README.md").read_text(encoding="utf-8")
    assert f"| [{name}]({name}.md) | {found.model_name} | {found.config.data.dataset} | {found.metrics['test_accuracy']:.2%} |" in table
    assert RunConfig.from_flat(read_recipe(found.path.parent / "recipes" / f"{name}.toml")) == found.config
