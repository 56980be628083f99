"""`describe --json`: everything that the Architectures page draws."""

import json

import pytest

from resnet_core.cli import run
from resnet_core.config import ModelConfig
from resnet_core.models import ModelDescription, describe, original_spec
from resnet_core.runs import find_checkpoint, load_weights


def test_json_is_the_whole_description_at_any_size(capsys: pytest.CaptureFixture[str]) -> None:
    """The unchanged ResNet-18 on 28 x 28 pixels: 28 -> 14 -> 7 -> 4 -> 2 -> 1."""
    assert run(["describe", "resnet18", "--size", "28", "--set", "stem=imagenet", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    config, spec = ModelConfig(model="resnet18", stem="imagenet"), original_spec("resnet18")
    described = ModelDescription.from_dict(got)
    assert described.parameters == 11_689_512
    assert described.input_shape == (3, 28, 28)
    assert [part["output_shape"][-1] for part in got["parts"][:-1]] == [7, 7, 4, 2, 1]
    assert [part["notation"] for part in got["parts"]] == [part.notation for part in describe(config, spec).parts]
    edges = {(name, layer["name"]) for layer in got["layers"] for name in layer["inputs"]}
    assert ("input", "stem.conv") in edges
    assert {("stages.0.0.residual.norm2", "stages.0.0.add"), ("stem.pool", "stages.0.0.add")} <= edges
    assert {layer["name"]: layer["receptive_field"] for layer in got["layers"]}["stages.3.1.relu"] == 435


def test_a_checkpoint_s_network_on_its_own_data(capsys: pytest.CaptureFixture[str]) -> None:
    def got(*arguments: str) -> ModelDescription:
        assert run(["describe", *arguments, "--json"]) == 0
        return ModelDescription.from_dict(json.loads(capsys.readouterr().out))

    checkpoint = find_checkpoint("resnet18-mnist")
    described = got("resnet18-mnist")
    assert described == describe(checkpoint.config.model, checkpoint.spec)
    assert described.parameters == sum(
        tensor.numel() for name, tensor in load_weights(checkpoint).items() if "running" not in name and "batches" not in name
    )
    assert described.input_shape == (1, 28, 28)
    assert got("resnet18-mnist", "--size", "56").input_shape == (1, 56, 56)
    assert got("resnet18-mnist", "--dataset", "cifar10-jpg-sample").input_shape == (3, 32, 32)
    assert got("resnet18-mnist", "--set", "stem=imagenet") != described
    assert got(str(checkpoint.path)) == described


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["vit_b_16", "--size", "225"], "multiple"),
        (["inception_v3", "--size", "20"], "at least"),
        (["resnt50"], "did you mean"),
        (["resnet18-mnst"], "did you mean resnet18-mnist"),
    ],
)
def test_what_cannot_be_described_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["describe", *arguments]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert not said.out
    assert len(said.err.splitlines()) == 1
