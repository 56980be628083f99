"""`lesion`: its numbers are those of lesion_accuracies on the images that the draw gives."""

import json
from pathlib import Path
from typing import Any

import pytest

from resnet_core import cli
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_spec, load_split, some_images
from resnet_core.inspection import each_block, lesion_accuracies
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, load_model, save_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lesion") / "tiny.safetensors"
    config, spec = RunConfig(model=ModelConfig(model="resnet14", width=0.5)), load_spec(DataConfig())
    save_checkpoint(path, build_model(config.model, spec, seed=2).state_dict(), config, spec, {"epoch": 1, "step": 1})
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    capsys.readouterr()
    assert cli.run(["lesion", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def mistake(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert cli.run(["lesion", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_each_block(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = find_checkpoint(str(checkpoint))
    model = load_model(found)
    _, split = load_split(DataConfig(), "test")
    whole, *expected = lesion_accuracies(model, split.take(some_images(len(split), 60, 7)), found.spec, each_block(model))
    result = call(capsys, checkpoint, "--each", "--count", 60, "--seed", 7)
    assert (result["accuracy"], result["count"], result["split"]) == (whole.accuracy, 60, "test")
    assert [item["blocks"] for item in result["lesions"]] == [list(item.blocks) for item in expected]
    assert [item["accuracy"] for item in result["lesions"]] == [item.accuracy for item in expected]
    assert result["lesions"][2]["per_class"] == pytest.approx(expected[2].per_class)


@pytest.mark.parametrize("blocks", [["--blocks", "stages.0.1", "stages.2.0"], ["--blocks", "stages.0.1", "--blocks", "stages.2.0"]])
def test_several_blocks_at_once(checkpoint: Path, capsys: pytest.CaptureFixture[str], blocks: list[str]) -> None:
    found = find_checkpoint(str(checkpoint))
    _, split = load_split(DataConfig(), "valid")
    group = ("stages.0.1", "stages.2.0")
    (expected,) = lesion_accuracies(load_model(found), split.take(some_images(len(split), 50, 0)), found.spec, [group])
    result = call(capsys, checkpoint, *blocks, "--count", 50, "--split", "valid")
    assert result["lesions"] == [{"blocks": list(group), "accuracy": expected.accuracy, "per_class": list(expected.per_class)}]


def test_a_table_for_people(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lesion", str(checkpoint), "--each", "--count", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("of 20 test images right with all blocks")
    assert len(lines) == 2 + 6


def test_one_line_for_each_mistake(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--blocks NAME" in mistake(capsys, checkpoint)
    assert "--blocks NAME" in mistake(capsys, checkpoint, "--each", "--blocks", "stages.0.0")
    assert "--blocks NAME" in mistake(capsys, checkpoint, "stages.0.0")
    assert "its blocks are stages.0.0" in mistake(capsys, checkpoint, "--blocks", "stages.3.0", "--count", 5)
    assert "No run, shipped checkpoint or file" in mistake(capsys, "nothing-here", "--each")


def test_the_network_without_blocks_is_written_and_opens_like_any_other(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "less.safetensors"
    result = call(capsys, checkpoint, "--count", 60, "--blocks", "stages.0.1", "stages.2.1", "--to", out)
    less = find_checkpoint(str(out))
    assert result["to"] == str(out)
    assert result["weights_sha256"] == less.weights_sha256
    assert less.config.model.removed_blocks == ("stages.0.1", "stages.2.1")
    assert less.metrics["accuracy_after"] == result["lesions"][0]["accuracy"]
    assert less.metrics["accuracy_before"] == result["accuracy"]
    again = call(capsys, out, "--count", 60, "--each")
    assert again["accuracy"] == result["lesions"][0]["accuracy"]
    assert [item["blocks"] for item in again["lesions"]] == [["stages.0.0"], ["stages.1.0"], ["stages.1.1"], ["stages.2.0"]]
    assert "stages.0.0, stages.1.0" in mistake(capsys, out, "--blocks", "stages.0.1")
    assert "cannot be left out" in mistake(capsys, checkpoint, "--blocks", "stages.1.0", "--to", tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_network_whose_answers_are_no_numbers_gets_no_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them would count as the first class."""
    config, spec = RunConfig(model=ModelConfig(model="resnet8", width=0.5)), load_spec(DataConfig())
    weights = build_model(config.model, spec, seed=2).state_dict()
    weights["stages.1.0.residual.conv1.weight"][0, 0, 0, 0] = float("nan")
    path = tmp_path / "broken.safetensors"
    save_checkpoint(path, weights, config, spec, {"epoch": 1, "step": 1})
    for verb in (["lesion", str(path), "--each"], ["compare", str(path), str(path)], ["probe", str(path)]):
        capsys.readouterr()
        assert cli.run([*verb, "--count", "20"]) == 2
        assert "are not finite numbers" in capsys.readouterr().err
