"""Presets and recipe files on the command line: what wins, what is said, what a run is made of."""

import json
from pathlib import Path

import pytest

from resnet_core import cli
from resnet_core.commands.wish import wished
from resnet_core.presets import PRESETS, presets_document
from resnet_core.recipes import recipe_text
from resnet_core.runs import Store


def test_a_preset_then_a_file_then_single_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nbatch_size = 64\nlearning_rate = 0.2\n")
    config = wished("fast-cpu", file, {"dataset": "mnist-mini", "model": None, "learning_rate": "0.4"})
    assert config == PRESETS["fast-cpu"].config({"dataset": "mnist-mini", "batch_size": 64, "learning_rate": 0.4}, images=9000)
    assert capsys.readouterr().err == "Preset fast-cpu for 4 epochs, changed: batch_size 256 -> 64, learning_rate 0.3 -> 0.4\n"


def test_a_file_alone_is_the_run_it_was_written_for(tmp_path: Path) -> None:
    config = PRESETS["he2015-cifar"].config({"model": "plain110"})
    (tmp_path / "he.toml").write_text(recipe_text(config))
    assert wished(None, tmp_path / "he.toml", {"epochs": None}) == config
    assert wished(None, tmp_path / "he.toml", {"epochs": 2}).train.epochs == 2


def test_train_with_a_preset_on_data_it_does_not_fit_warns_and_trains(
    own_runs: Path, digits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["batch_size=32", "precision=float32", "memory_format=contiguous", "width=0.25", "device=cpu", "stem=imagenet"]
    options = [text for setting in settings for text in ("--set", setting)]
    code = cli.run(["train", "--preset", "he2015-cifar", "--model", "resnet8", "--dataset", digits, "--epochs", "1", *options])
    said = capsys.readouterr().err
    assert code == 0, said
    assert "Warning: A 7x7 stem" in said
    (run,) = Store().runs()
    assert run.status == "finished"
    assert (run.config.train.weight_decay, run.config.augment.crop_padding, run.config.train.epochs) == (1e-4, 4, 1)


def test_presets_as_table_document_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ([], ["--markdown"], ["--json"]):
        assert cli.run(["presets", *option]) == 0
    printed = capsys.readouterr().out
    table, document = printed.split("# Presets")[0], "# Presets" + printed.split("# Presets", 1)[1].split("[\n  {")[0]
    assert all(name in table for name in PRESETS)
    assert document == presets_document()
    rows = json.loads(printed[len(table) + len(document) :])
    assert [row["name"] for row in rows] == list(PRESETS)
    assert rows[0]["settings"]["optimizer"] == "adam"
