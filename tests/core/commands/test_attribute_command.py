"""attribute and attribute-many: the core's numbers, one sentence for what cannot work, files with their request inside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_core import cli
from resnet_core.attribution import attribute, check_randomised
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_split, some_images
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, load_model
from resnet_core.runs.checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained networks of half the width as checkpoints: two seeds, one for colour."""
    folder, found = tmp_path_factory.mktemp("networks"), {}
    spec, _ = load_split(DataConfig(), "test")
    for name, model, seed in (("a", "resnet8", 0), ("second", "resnet8", 1), ("b", "plain8", 0)):
        config = RunConfig(model=ModelConfig(model=model, width=0.5))
        found[name] = folder / f"{name}.safetensors"
        save_checkpoint(found[name], build_model(config.model, spec, seed=seed).state_dict(), config, spec, {"epoch": 0, "step": 0})
    return found


def call(capsys: pytest.CaptureFixture[str], verb: str, *arguments: object) -> Any:
    capsys.readouterr()
    assert cli.run([verb, *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_map_with_its_worth(networks: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    result = call(
        capsys, "attribute", networks["a"], "--method", "integrated_gradients", "--index", 7, "--target", 3,
        "--set", "steps=8", "--set", "max_steps=8", "--score", "--check",
    )  # fmt: skip
    found = find_checkpoint(str(networks["a"]))
    _, split = load_split(DataConfig(), "test")
    model, images = load_model(found), split.images[7:8]
    settings = {"steps": 8, "max_steps": 8}
    (expected,) = attribute(model, images, found.spec, "integrated_gradients", settings, target=3)
    assert np.array(result["attribution"]) == pytest.approx(expected.map[0], abs=1e-6)
    assert (result["target"], result["steps"], result["index"], result["label"]) == (3, 8, 7, int(split.labels[7]))
    assert result["completeness_delta"] == pytest.approx(expected.completeness_delta, abs=1e-5)
    assert result["settings"]["max_steps"] == 8
    assert all(isinstance(result[key], float) for key in ("probability", "infidelity", "unexplained", "sensitivity"))
    assert set(result["deletion"]) == set(result["insertion"]) == {"own", "edges", "random"}
    settle_on = split.images[some_images(len(split), 64, 0)]
    checked = check_randomised(model, images, found.spec, "integrated_gradients", settings, target=3, settle_on=settle_on)
    assert result["randomised"]["verdict"] == checked.verdict
    assert result["randomised"]["steps"][-1]["absolute"] == pytest.approx(checked.steps[-1].absolute, abs=1e-4)


def test_files_hold_the_map_and_its_request(networks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tmp_path / "map.npz", tmp_path / "map.png"
    for file in files:
        result = call(capsys, "attribute", networks["b"], "--method", "layer_grad_cam", "--target", "label", "--seed", 4, "--to", file)
    with np.load(files[0]) as arrays:
        assert arrays["map"][0] == pytest.approx(np.array(result["attribution"]), abs=1e-6)
        assert arrays["image"].dtype == np.uint8
        assert [arrays[f"strip/stages.{n}"].shape for n in range(3)] == [(28, 28), (14, 14), (7, 7)]
        inside = json.loads(str(arrays["settings"]))
    with Image.open(files[1]) as picture:
        assert min(picture.size) >= 448
        assert json.loads(picture.text["Settings"]) == inside  # type: ignore[attr-defined]
    assert (inside["method"], inside["seed"], inside["index"], inside["settings"]["layer"]) == ("layer_grad_cam", 4, 0, "last")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "salience"], "Unknown method 'salience'; did you mean saliency."),
        (["--method", "saliency", "--target", "10"], "There is no class 10; {name} tells classes 0 to 9 apart."),
        (["--method", "saliency", "--target", "cat"], "Unknown class 'cat'; known: 0, 1,"),
        (["--method", "saliency", "--index", "10000"], "There is no image 10000 in the test split of mnist-mini; it has images 0 to 9999."),
        (["--method", "deep_lift", "--set", "baseline=white"], "baseline must be one of black, mean, blurred, got 'white'."),
        (["--method", "lime", "--set", "steps=4"], "Unknown setting 'steps';"),
        (["--method", "layer_conductance", "--set", "layer=stages.3.0"], "layer must be one of last, stages.0.0, stages.1.0, stages.2.0,"),
        (["--method", "occlusion", "--set", "window=40"], "window must be at most 28, got 40."),
        (["--method", "saliency", "--to", "map.gif"], "to must be one of *.npz, *.png, got 'map.gif'."),
        (["--method", "saliency", "--dataset", "cifar10-jpg-sample"], "{name} was trained on images with 1 channel(s), this needs 3"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    networks: dict[str, Path], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(["attribute", str(networks["a"]), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(words.format(name=networks["a"]))


def test_a_table_for_people(networks: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["attribute", str(networks["a"]), "--method", "saliency", "--score", "--check"]) == 0
    out, err = capsys.readouterr()
    assert "saliency for class" in out
    assert "deletion, edges" in out
    assert "random down to" in out
    assert len(err.splitlines()) == 2, "a sentence from each check"


def test_many_images_of_three_networks(networks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.csv"
    arguments = ["--method", "saliency", "--count", 20, "--class", 3, "--against", networks["b"], "--second", networks["second"]]
    result = call(capsys, "attribute-many", networks["a"], *arguments, "--to", file)
    assert [row["checkpoint"] for row in result["networks"]] == [str(networks[key]) for key in ("a", "b", "second")]
    assert result["count"] == 20
    assert result["influence"]["verdict"] in ("changes", "not_shown", "unclear")
    assert result["gaps"]["probability"]["low"] <= result["gaps"]["probability"]["value"] <= result["gaps"]["probability"]["high"]
    assert np.array(result["networks"][0]["mean_map"]).shape == (28, 28)
    lines = file.read_text().splitlines()
    assert len(lines) == 1 + 60
    assert all(line.split(",")[3] == "3" for line in lines[1:])
    assert cli.run(["attribute-many", str(networks["a"]), *map(str, arguments[:-2])]) == 0
    assert "no second training" in capsys.readouterr().err
    assert cli.run(["attribute-many", str(networks["a"]), "--method", "saliency", "--second", str(networks["second"])]) == 2
