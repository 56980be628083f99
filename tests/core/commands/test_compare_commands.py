"""`compare` and `cka` through the command line: the core's numbers as JSON, one clear line for what cannot be compared."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_core.cli import run
from resnet_core.comparison import PairAnswers, answer, cka_map
from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import load_spec, load_split, normalize, some_images
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, load_model, save_checkpoint

PAIR = ("resnet20-mnist", "plain20-mnist")


def test_compare_gives_what_the_core_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *PAIR, "--dataset", "mnist-mini", "--count", "60", "--seed", "3", "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    _, split = load_split(DataConfig(), "test")
    some = split.take(some_images(len(split), 60, 3))
    checkpoints = [find_checkpoint(name) for name in PAIR]
    both = PairAnswers(**{side: answer(load_model(c), some, c.spec) for side, c in zip("ab", checkpoints, strict=True)})
    assert (found["n"], found["split"], found["matrix"]) == (60, "test", both.matrix().tolist())
    assert found["mcnemar"] == {**vars(both.mcnemar), "is_real": both.mcnemar.is_real}
    for row, answers in zip(found["networks"], (both.a, both.b), strict=True):
        assert [row[key] for key in ("accuracy", "low", "high")] == [answers.accuracy.value, answers.accuracy.low, answers.accuracy.high]
        assert (row["loss"], row["ece"]) == pytest.approx((answers.evaluation.loss, answers.reliability.error), rel=1e-5)
        assert (row["parameters"], row["macs"]) == (269434, 30821248)
        assert sum(bin["count"] for bin in row["reliability"]) == 60
    assert found["conditions"]["same_weights"]
    assert found["conditions"]["same_settings"]


def test_cka_gives_what_the_core_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cka", *PAIR, "--dataset", "mnist-mini", "--count", "40", "--batch-size", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    _, split = load_split(DataConfig(), "test")
    checkpoints = [find_checkpoint(name) for name in PAIR]
    images = split.take(some_images(len(split), 40, 0)).images
    inputs = [normalize(images, checkpoint.spec) for checkpoint in checkpoints]
    expected = cka_map(load_model(checkpoints[0]), load_model(checkpoints[1]), (inputs[0], inputs[1]), batch_size=20)
    assert found["a"]["blocks"] == list(expected.a)
    assert found["cka"] == [pytest.approx(row) for row in expected.values.tolist()]


@pytest.mark.parametrize("verb", ["compare", "cka"])
@pytest.mark.parametrize(("change", "said"), [("channels", "with 3;"), ("classes", "no, yes"), ("missing", "did you mean")])
def test_what_cannot_be_compared_is_one_line(verb: str, change: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = load_spec(DataConfig())
    spec = {
        "channels": replace(spec, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3),
        "classes": replace(spec, classes=("no", "yes")),
        "missing": spec,
    }[change]
    other, config = tmp_path / "other.safetensors", RunConfig.from_flat({"model": "resnet8", "width": 0.5})
    save_checkpoint(other, build_model(config.model, spec).state_dict(), config, spec, {"epoch": 1, "step": 1})
    name = "plain20-mnst" if change == "missing" else str(other)
    assert run([verb, PAIR[0], name, "--dataset", "mnist-mini", "--count", "8"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert said in err
