"""`gradients C`: the numbers of measure_gradients, the verdict of gradient_trend, one line for each mistake."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from resnet_core import cli
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_spec, load_split, normalize, some_images
from resnet_core.inspection import gradient_trend, measure_gradients, settle_norms
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, initial_model, load_model, save_checkpoint

SPEC, SPLIT = load_split(DataConfig(), "test")


@pytest.fixture
def checkpoint(own_runs: Path, tmp_path: Path) -> Callable[..., Path]:
    def save(model: str, *, step: int = 9, classes: tuple[str, ...] | None = None) -> Path:
        config = RunConfig(model=ModelConfig(model=model, width=0.5))
        spec = load_spec(config.data)
        spec = spec if classes is None else type(spec).from_dict({**spec.to_dict(), "classes": classes})
        file = tmp_path / f"{model}.safetensors"
        save_checkpoint(file, build_model(config.model, spec, seed=5).state_dict(), config, spec, {"epoch": 1, "step": step})
        return file

    return save


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    capsys.readouterr()
    assert cli.run(["gradients", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("model", ["resnet8", "plain8"])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_it_is_measure_gradients(checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str], model: str, mode: str) -> None:
    file = checkpoint(model)
    found = call(capsys, file, "--count", 12, "--seed", 4, "--mode", mode)
    chosen = SPLIT.take(some_images(len(SPLIT), 12, 4))
    opened = find_checkpoint(str(file))
    expected = measure_gradients(
        load_model(opened), normalize(chosen.images, SPEC), chosen.labels, training=mode == "train", train=opened.config.train
    )
    assert (found["optimizer"], found["learning_rate"]) == ("sgd", 0.1)
    half = call(capsys, file, "--count", 12, "--seed", 4, "--mode", mode, "--learning-rate", 0.05)
    assert half["layers"][0]["update_ratio"] == pytest.approx(found["layers"][0]["update_ratio"] / 2)
    assert (found["mode"], found["split"], found["count"], found["seed"], found["loss"]) == (mode, "test", 12, 4, expected.loss)
    assert found["layers"] == [asdict(layer) for layer in expected.layers]
    assert found["blocks"] == [asdict(block) for block in expected.blocks]
    assert found["trend"] == asdict(gradient_trend([block.input_grad_norm for block in expected.blocks]))
    assert (found["blocks"][0]["through_shortcut_norm"] is None) == (model == "plain8")


@pytest.mark.parametrize("step", [0, 9])
def test_before_training(checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str], step: int) -> None:
    """With --initial, and for a checkpoint of step 0, the norms know the batch first: in eval mode they would not normalise at all."""
    file = checkpoint("resnet8", step=step)
    found = call(capsys, file, "--count", 8, "--initial") if step else call(capsys, file, "--count", 8)
    chosen = SPLIT.take(some_images(len(SPLIT), 8, 0))
    inputs, opened = normalize(chosen.images, SPEC), find_checkpoint(str(file))
    model = initial_model(opened) if step else load_model(opened)
    expected = measure_gradients(settle_norms(model, inputs), inputs, chosen.labels)
    assert found["blocks"] == [asdict(block) for block in expected.blocks]


def test_tables_for_people(checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gradients", str(checkpoint("resnet8")), "--count", "4", "--split", "train"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[0].split() == ["name", "weight_grad_norm", "weight_norm", "update_ratio"]
    assert "stages.2.0" in output.out
    assert "first block / last block = 10^" in output.err
    assert "4 train images, eval mode" in output.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "0"], "--count"),
        (["--mode", "test"], "mode must be one of eval, train"),
        (["--split", "testing"], "testing"),
        (["--dataset", "mnist-mimi"], "mnist-mini"),
        (["--seed", "-1"], "--seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(
    checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(["gradients", str(checkpoint("resnet8")), *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert words in line


def test_other_classes_and_other_names(checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gradients", str(checkpoint("resnet8", classes=("even", "odd")))]) == 2
    assert "2 classes" in capsys.readouterr().err
    assert cli.run(["gradients", "resnet99"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
