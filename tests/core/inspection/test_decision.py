"""The decision block by block: the lens against the network's own logits, the ridge against numpy's least squares, "decided" by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from resnet_core import cli
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_spec, load_split, some_images
from resnet_core.data.spec import DataSpec, Split, normalize
from resnet_core.errors import UserError
from resnet_core.inspection import decided_at, decisions, fit_probe, fit_probes, ridge
from resnet_core.models import block_places, build_model
from resnet_core.runs import find_checkpoint, load_model, save_checkpoint

SPEC = DataSpec(name="test", channels=1, height=12, width=12, classes=tuple("0123"), mean=(0.4,), std=(0.3,))
NETWORKS: list[dict[str, Any]] = [
    {"name": "resnet14"},
    {"name": "resnet14", "option": "B", "version": "v2"},
    {"name": "plain14"},
    {"name": "resnet50", "width": 0.125},
]


@pytest.fixture
def split() -> Split:
    generator = torch.Generator().manual_seed(3)
    return Split(
        images=torch.randint(0, 256, (40, 1, 12, 12), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, 4, (40,), generator=generator),
    )


# -- the ridge --------------------------------------------------------------------------------------------------------------------


def test_the_ridge_is_numpy_s_least_squares_with_the_penalty_as_rows() -> None:
    rng = np.random.default_rng(0)
    features, targets, penalty = rng.normal(2, 3, (50, 6)), rng.normal(size=(50, 3)), 4.0
    weight, bias = ridge(features, targets, penalty)
    rows = np.block([[features, np.ones((50, 1))], [np.sqrt(penalty) * np.eye(6), np.zeros((6, 1))]])  # the bias is not penalised
    solution, *_ = np.linalg.lstsq(rows, np.vstack([targets, np.zeros((6, 3))]), rcond=None)
    assert np.allclose(weight, solution[:6])
    assert np.allclose(bias, solution[6])


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 300)
    telling = np.eye(3)[labels] + rng.normal(0, 0.05, (300, 3))
    probe = fit_probe(telling, labels, 3)
    scores = telling @ probe.weight + probe.bias
    assert (scores.argmax(1) == labels).all()
    assert np.exp(scores - scores.max(1, keepdims=True)).sum(1).max() < 1.1, "what is sure is said to be sure"
    silent = fit_probe(np.ones((300, 3)), labels, 3)
    assert np.allclose(silent.weight, 0)


# -- the network ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_behind_the_last_block_stands_the_network_s_own_answer(build: Any, split: Split, witness: Any, network: dict[str, Any]) -> None:
    model = build(**network)
    with torch.no_grad():
        logits = model(normalize(split.images, SPEC))
    witness(model)
    report = decisions(model, split, SPEC, fit_probes(model, split, SPEC), batch_size=7)
    assert report.probabilities.shape == (40, len(report.blocks), 4)
    assert np.allclose(report.probabilities[:, -1], logits.softmax(1).numpy(), atol=1e-5)
    assert report.blocks[-1].accuracy == float((logits.argmax(1) == split.labels).double().mean())


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_each_reading_by_hand(build: Any, split: Split, network: dict[str, Any]) -> None:
    """The head where its channels fit, else the probe on pooled outputs."""
    model = build(**network)
    probes = fit_probes(model, split, SPEC)
    report = decisions(model, split, SPEC, probes)
    last = block_places(model)[-1].stage
    with torch.no_grad():
        x = model.stem(normalize(split.images, SPEC))
        for number, place in enumerate(block_places(model)):
            x = place.module(x)
            if place.stage == last:
                expected = model.head(x)
                assert report.blocks[number].method == "lens"
            else:
                pooled = x.mean((2, 3)).double().numpy()
                again = fit_probe(pooled, split.labels.numpy(), 4)
                assert np.allclose(again.weight, probes[place.name].weight, rtol=1e-4, atol=1e-6)
                expected = torch.from_numpy(pooled @ again.weight + again.bias)
                assert report.blocks[number].method == "probe"
            assert np.allclose(report.probabilities[:, number], expected.softmax(1).numpy(), atol=1e-4)
    right = report.answers == split.labels.numpy()[:, None]
    assert [block.accuracy for block in report.blocks] == pytest.approx(right.mean(0).tolist())
    assert report.right_then_wrong == sum(any(row[:-1]) and not row[-1] for row in right)


def test_decided_is_where_the_answer_changes_no_more() -> None:
    answers = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 2], [2, 0, 2, 2]])
    assert decided_at(answers).tolist() == [0, 3, 1, 3, 2]
    random = np.random.default_rng(2).integers(0, 3, (200, 6))
    by_hand = [next(k for k in range(6) if (row[k:] == row[-1]).all()) for row in random]
    assert decided_at(random).tolist() == by_hand


def test_what_has_no_blocks_and_no_images_says_so(build: Any, split: Split) -> None:
    with pytest.raises(UserError, match="has no residual blocks"):
        fit_probes(nn.Sequential(nn.Flatten(), nn.Linear(144, 4)), split, SPEC)
    with pytest.raises(UserError, match="at least 1, got 0"):
        decisions(build(), split.take(torch.arange(0)), SPEC, {})


# -- the verb ---------------------------------------------------------------------------------------------------------------------


def test_the_verb_says_what_the_functions_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, spec = tmp_path / "tiny.safetensors", load_spec(DataConfig())
    config = RunConfig(model=ModelConfig(model="resnet8", width=0.5))
    save_checkpoint(path, build_model(config.model, spec, seed=2).state_dict(), config, spec, {"epoch": 1, "step": 1})
    found = find_checkpoint(str(path))
    model, training, test = load_model(found), load_split(DataConfig(), "train")[1], load_split(DataConfig(), "test")[1]
    indices = some_images(len(test), 30, 5)
    probes = fit_probes(model, training.take(some_images(len(training), 100, 0)), spec)
    report = decisions(model, test.take(indices), spec, probes)
    arguments = ["probe", str(path), "--dataset", "mnist-mini", "--count", "30", "--seed", "5", "--train-count", "100"]
    assert cli.run([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [block["accuracy"] for block in result["blocks"]] == [block.accuracy for block in report.blocks]
    assert [block["method"] for block in result["blocks"]] == ["probe", "probe", "lens"]
    assert result["right_then_wrong"] == report.right_then_wrong
    assert [image["index"] for image in result["images"]] == indices.tolist()
    assert [image["decided"] for image in result["images"]] == [report.blocks[place].name for place in report.decided]
    assert [image["answer"] for image in result["images"]] == report.answers[:, -1].tolist()
    assert np.allclose(result["images"][3]["probabilities"], report.probabilities[3, :, report.answers[3, -1]])
    assert cli.run(arguments) == 0
    assert "approximate" in capsys.readouterr().out
