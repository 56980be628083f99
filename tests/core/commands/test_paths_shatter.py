"""`paths` and `shatter`: the same numbers as the core's, and one line for what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_core import cli
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_spec, load_split, normalize, some_images
from resnet_core.inspection import line_gradients, measure_paths, noise_autocorrelation, settle_norms, toy_gradients
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, initial_model, load_model, save_checkpoint

SPEC = load_spec(DataConfig())


def save(folder: Path, model: str) -> Path:
    config, path = RunConfig(model=ModelConfig(model=model, width=0.25)), folder / f"{model}.safetensors"
    save_checkpoint(path, build_model(config.model, SPEC, seed=3).state_dict(), config, SPEC, {"epoch": 1, "step": 9})
    return path


@pytest.fixture
def checkpoint(own_runs: Path, tmp_path: Path) -> Path:
    return save(tmp_path, "resnet8")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def called(*arguments: object) -> Any:
        assert cli.run([*map(str, arguments), "--json"]) == 0
        output = capsys.readouterr()
        assert output.err == ""
        return json.loads(output.out)

    return called


@pytest.mark.parametrize("initial", [False, True])
def test_paths_is_measure_paths(call: Callable[..., Any], checkpoint: Path, initial: bool) -> None:
    got = call("paths", checkpoint, "--count", 5, "--seed", 2, *(["--initial"] if initial else []))
    _, split = load_split(DataConfig(), "test")
    chosen = split.take(some_images(len(split), 5, 2))
    images, found = normalize(chosen.images, SPEC), find_checkpoint(str(checkpoint))
    model = settle_norms(initial_model(found), images) if initial else load_model(found)
    report = measure_paths(model, images, chosen.labels, seed=2)
    assert (got["blocks"], got["paths"], got["complete"], got["mode"]) == (3, 8, True, "eval")
    assert got["error"] < 1e-14
    for line, expected in zip(got["lengths"], report.lengths, strict=True):
        assert line == pytest.approx(vars(expected), rel=1e-9)


def test_shatter_is_the_toy(call: Callable[..., Any]) -> None:
    got = call("shatter", "--depth", 6, "--kind", "resnet", "--seeds", 2)
    expected = toy_gradients("resnet", 6, seeds=2)
    assert (got["kind"], got["depth"], got["seeds"], got["lags"]) == ("resnet", 6, 2, list(range(1, 21)))
    assert got["autocorrelation"] == pytest.approx(expected.autocorrelation, abs=1e-4)
    assert got["brown"] == pytest.approx(noise_autocorrelation("brown"))
    assert len(got["gradient"]) == len(got["x"]) == 256


def test_shatter_of_a_network_is_the_line_between_two_test_images(call: Callable[..., Any], checkpoint: Path) -> None:
    got = call("shatter", checkpoint, "--first", 4, "--second", 7)
    _, split = load_split(DataConfig(), "test")
    first, second = (normalize(split.images[index : index + 1], SPEC) for index in (4, 7))
    expected = line_gradients(load_model(find_checkpoint(str(checkpoint))), first, second, int(split.labels[4]))
    assert got["target"] == int(split.labels[4])
    assert got["autocorrelation"] == pytest.approx(expected.autocorrelation, abs=1e-5)
    initial = call("shatter", checkpoint, "--first", 4, "--second", 7, "--initial")
    assert initial["autocorrelation"] != got["autocorrelation"]


def test_tables_for_people(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in ((["paths", str(checkpoint), "--count", "2"], "8 paths"), (["shatter", "--depth", "2"], "brown")):
        assert cli.run(arguments) == 0
        output = capsys.readouterr().out
        assert words in output
        assert "{" not in output


def test_one_line_for_each_mistake(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = str(save(tmp_path, "plain8"))
    for arguments, words in (
        (["paths", plain], "has no shortcuts"),
        (["paths", "nobody"], "No run, shipped checkpoint or file"),
        (["paths", str(checkpoint), "--count", "0"], "--count"),
        (["shatter", "--kind", "dense"], "kind must be one of plain, resnet"),
        (["shatter", "--depth", "51"], "depth must be between 1 and 50"),
        (["shatter", str(checkpoint), "--second", "0"], "two different images"),
        (["shatter", str(checkpoint), "--first", "10000"], "images 0 to 9999"),
    ):
        assert cli.run(arguments) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert words in output.err
        assert len(output.err.splitlines()) == 1
