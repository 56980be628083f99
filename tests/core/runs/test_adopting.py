"""A file of weights as a run of the store: opened by its name everywhere, whole or not there at all."""

import json
from pathlib import Path

import pytest
import torch
import torchvision

from resnet_core.cli import run as cli
from resnet_core.config import ModelConfig, RunConfig
from resnet_core.data import DATASETS, load_split, normalize
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs import Checkpoint, Store, export_run, find_checkpoint, import_run, load_model, load_weights, save_checkpoint
from resnet_core.runs.adopting import adopt_weights


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """torchvision's own network, with ten classes, as torch.save writes it."""
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), tmp_path / "my net.pth")
    return tmp_path / "my net.pth"


def test_another_project_s_file_is_a_finished_run(theirs: Path, store: Store, tmp_path: Path) -> None:
    adopted = adopt_weights(store, theirs, ModelConfig(model="resnet18"))
    run = adopted.run
    assert (run.name, run.status, run.is_imported, run.is_resumable, run.epoch) == ("my net", "finished", True, False, 0)
    checkpoint = find_checkpoint(run.run, store=store)
    original = torchvision.models.resnet18(num_classes=10).eval()
    original.load_state_dict(torch.load(theirs, weights_only=True))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(load_model(checkpoint)(images), original(images), rtol=1e-4, atol=1e-4)
    elsewhere = Store(tmp_path / "elsewhere")
    export_run(store, run.run, tmp_path / "run.zip")
    arrived = import_run(elsewhere, tmp_path / "run.zip")
    assert arrived.is_imported
    assert find_checkpoint(arrived.run, store=elsewhere).weights_sha256 == checkpoint.weights_sha256


def test_ours_brings_its_settings_and_what_was_measured(saved: Checkpoint, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "ours.safetensors"
    metrics = {"epoch": 3, "step": 99, "valid_accuracy": 0.5, "test_accuracy": 0.625, "test_loss": 1.5, "test_images": 100, "seconds": 7.0}
    save_checkpoint(file, load_weights(saved), saved.config, saved.spec, metrics)
    run = adopt_weights(store, file, None).run
    assert (run.config, run.epoch, run.valid_accuracy, run.test_accuracy, run.result["test_images"]) == (saved.config, 3, 0.5, 0.625, 100)
    assert find_checkpoint(run.run, store=store).weights_sha256 == saved.weights_sha256
    save_checkpoint(file, load_weights(saved), saved.config, saved.spec, {"epoch": 3, "step": 99, "test_accuracy": 0.625})
    half_told = adopt_weights(store, file, None).run
    assert half_told.test_accuracy is None, "pages tell an accuracy with its images and its seconds, or not at all"


@pytest.mark.parametrize("bad", ["no network", "another network", "damaged", "not there"])
def test_what_is_refused_leaves_nothing_behind(bad: str, theirs: Path, saved: Checkpoint, store: Store, tmp_path: Path) -> None:
    store.runs()
    before = sorted(store.root.iterdir())
    config: ModelConfig | None = ModelConfig(model="resnet18")
    if bad == "no network":
        config, code = None, "weights_need_a_network"
    elif bad == "another network":
        config, code = ModelConfig(model="resnet20"), "weights_do_not_fit"
    elif bad == "damaged":
        theirs, config, code = tmp_path / "cut.safetensors", None, "checkpoint_damaged"
        save_checkpoint(theirs, load_weights(saved), saved.config, saved.spec, {"epoch": 1, "step": 1})
        theirs.write_bytes(theirs.read_bytes()[:-8])
    else:
        theirs, code = tmp_path / "nowhere.pth", "file_missing"
    with pytest.raises(UserError) as caught:
        adopt_weights(store, theirs, config)
    assert caught.value.code == code
    assert store.runs() == ()
    assert sorted(store.root.iterdir()) == before


def test_on_the_command_line_it_is_a_run_that_every_verb_opens(own_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = RunConfig.from_flat({"model": "resnet8", "width": 0.25, "dataset": "mnist-mini"})
    model = build_model(config.model, DATASETS["mnist-mini"].spec, seed=3)
    torch.save({"state_dict": {f"net.{name}": tensor for name, tensor in model.state_dict().items()}}, tmp_path / "mine.ckpt")
    options = ["--as", "resnet8", "--set", "width=0.25", "--dataset", "mnist-mini", "--name", "mine", "--json"]
    assert cli(["import-weights", str(tmp_path / "mine.ckpt"), *options]) == 0
    run = json.loads(capsys.readouterr().out)["run"]
    assert Store().run(run).name == "mine"
    images = normalize(load_split(config.data, "test")[1].images[:4], DATASETS["mnist-mini"].spec)
    with torch.no_grad():
        assert torch.equal(load_model(find_checkpoint(run))(images), model.eval()(images))
    for verb in (["inspect", run, "--count", "8"], ["evaluate", run], ["gradients", run]):
        assert cli([*verb, "--json"]) == 0, verb
    assert cli(["import-weights", str(tmp_path / "mine.ckpt"), "--to", str(tmp_path / "o")]) == 2
    assert "name it" in capsys.readouterr().err
