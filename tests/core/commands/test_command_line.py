"""Every verb: its numbers are those of the functions behind it, its mistakes are one line and exit status 2."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_core import cli
from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import DATASETS, dataset_status, load_spec, load_split, normalize, some_images
from resnet_core.data.pen_strokes import prepared_split, read_unipen
from resnet_core.data.photo import prepare_photo
from resnet_core.inspection import residual_statistics, settle_norms
from resnet_core.models import build_model, describe, original_spec
from resnet_core.prediction import ask
from resnet_core.runs import Store, checkpoints_of, find_checkpoint, initial_model, load_model, save_checkpoint
from resnet_core.runs.run import STATUSES

VERBS = ([], ["data"], ["data", "list"], ["data", "fetch"], ["describe"], ["train"], ["presets"], ["find-lr"], ["runs"], ["runs", "list"], ["runs", "show"], ["runs", "delete"],
         ["runs", "export"], ["runs", "export-tensorboard"], ["runs", "export-mlflow"], ["runs", "import"], ["evaluate"], ["inspect"], ["lesion"], ["probe"], ["gradients"], ["predict"], ["paths"], ["shatter"], ["bench"])  # fmt: skip
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(digits: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one finished run, made on the command line."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_RUNS", str(folder))
        settings = ("width=0.25", "batch_size=32", "precision=float32", "memory_format=contiguous", "device=cpu")
        options = [text for setting in settings for text in ("--set", setting)]
        assert cli.run(["train", "--model", "resnet8", "--dataset", digits, "--epochs", "2", "--name", "mine", *options]) == 0
    return folder


@pytest.fixture
def run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RESNET_RUNS", str(trained))
    return next(run.run for run in Store().runs() if run.name == "mine")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command that must succeed; its JSON."""

    def called(*arguments: object) -> Any:
        capsys.readouterr()
        assert cli.run([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return called


@pytest.fixture
def mistake(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail; its one line."""

    def called(*arguments: object) -> str:
        capsys.readouterr()
        assert cli.run([*map(str, arguments)]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        (line,) = output.err.splitlines()
        assert line[-1] in ".?"
        return line

    return called


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*verb, "--help"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert "Usage: python -m resnet_core" in output.out
    if verb and verb not in (["data"], ["runs"]):
        assert "--json" in output.out


@pytest.mark.parametrize("verb", ["inspect", "lesion", "paths", "probe", "cka", "compare", "gradients", "attribute", "attribute-many"])
def test_a_seed_is_no_negative_number(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "resnet20-mnist", *(["plain20-mnist"] if verb in ("cka", "compare") else []), "--seed", "-1"]) == 2
    assert "--seed" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [[], ["data"], ["runs"]], ids=" ".join)
def test_without_a_verb_the_help_is_shown(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(verb) == 2
    assert "Commands:" in capsys.readouterr().err


# -- numbers ---------------------------------------------------------------------------------------------------------------------------


def test_data_list(call: Call) -> None:
    rows = call("data", "list")
    assert [row["name"] for row in rows] == list(DATASETS)
    status = {row.name: row for row in dataset_status()}
    for row in rows:
        for key in ("present", "train", "valid", "test", "channels", "size", "classes"):
            assert row[key] == getattr(status[row["name"]], key)


def test_data_fetch_of_what_is_here(call: Call) -> None:
    assert call("data", "fetch", "mnist-mini")["fetched"] is False


@pytest.mark.parametrize("model", ["resnet20", "plain20"])
def test_describe_counts_what_the_network_has(call: Call, model: str) -> None:
    got = call("describe", model, "--dataset", "mnist-mini")
    config = RunConfig.from_flat({"model": model}).model
    network = build_model(config, load_spec(DataConfig()), seed=0)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert got["parameters"] == parameters == sum(layer["parameters"] for layer in got["layers"]) == 269_434
    assert got["macs"] == sum(layer["macs"] for layer in got["layers"])
    assert got["macs"] == describe(config, load_spec(DataConfig())).macs
    assert set(got["layers"][0]) >= {"name", "kind", "output_shape", "parameters", "macs"}
    assert (got["input"], got["classes"]) == ([1, 28, 28], 10)


def test_describe_without_a_data_set_is_the_original(call: Call) -> None:
    got = call("describe", "resnet20")
    assert (got["parameters"], got["input"]) == (269_722, [3, 32, 32])  # He et al. 2015, section 4.2
    assert call("describe", "resnet20", "--option", "B")["parameters"] > got["parameters"]
    assert call("describe", "resnet20", "--set", "width=0.5")["parameters"] < got["parameters"]
    assert len(original_spec("resnet20").classes) == got["classes"]


def test_train_tells_each_event_as_a_line(digits: str, own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "width=0.25", "--set", "batch_size=64", "--set", "precision=float32", "--set", "memory_format=contiguous"]
    assert cli.run(["train", "--model", "plain8", "--dataset", digits, "--epochs", "2", "--device", "cpu", *settings, "--json"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    events = [json.loads(line) for line in output.out.splitlines()]
    assert [event["event"] for event in events] == ["run", "start", *(["step"] * 4 + ["epoch"]) * 2, "end"]
    run, end = events[0]["run"], events[-1]
    for event in (event for event in events if event["event"] == "epoch"):
        assert {"epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "lr", "images_per_second"} <= set(event)
    for event in (event for event in events if event["event"] == "step"):
        assert {"step", "epoch", "loss", "lr"} <= set(event)
    found = Store().run(run)
    assert (found.dataset, found.model_name, found.config.train.epochs) == (digits, "plain8", 2)
    assert (end["status"], end["test_accuracy"], end["weights_sha256"]) == (
        "finished",
        found.test_accuracy,
        find_checkpoint(run).weights_sha256,
    )
    assert end["seconds"] > 0


def test_runs_list_and_show(call: Call, run: str) -> None:
    (row,) = call("runs", "list")
    found = Store().run(run)
    assert row == {
        "run": run, "name": "mine", "model": "resnet8", "dataset": found.dataset, "status": "finished", "epoch": 2,
        "valid_accuracy": found.valid_accuracy, "test_accuracy": found.test_accuracy,
    }  # fmt: skip
    shown = call("runs", "show", run)
    assert {key: shown[key] for key in row} == row
    assert shown["config"] == json.loads(found.config.to_json())
    assert [epoch["epoch"] for epoch in shown["epochs"]] == [1, 2]
    assert tuple(shown["checkpoints"]) == checkpoints_of(found.folder)
    assert shown["error"] is None
    assert shown["status"] in STATUSES


def test_export_import_delete(call: Call, run: str, tmp_path: Path) -> None:
    file = tmp_path / "run.zip"
    assert call("runs", "export", run, file)["bytes"] == file.stat().st_size
    arrived = call("runs", "import", file)
    assert arrived["run"] != run
    assert find_checkpoint(arrived["run"]).weights_sha256 == find_checkpoint(run).weights_sha256
    folder = Store().run(arrived["run"]).folder
    assert call("runs", "delete", arrived["run"]) == {"run": arrived["run"], "deleted": True}
    assert not folder.exists()
    assert [row["run"] for row in call("runs", "list")] == [run]


def test_evaluate_gives_the_accuracy_that_training_wrote(call: Call, run: str) -> None:
    got = call("evaluate", run, "--device", "cpu")
    metrics = find_checkpoint(run).metrics
    assert (got["accuracy"], got["n"]) == (metrics["test_accuracy"], metrics["test_images"])
    assert got["loss"] == pytest.approx(metrics["test_loss"], rel=1e-6)
    confusion = np.array(got["confusion"])
    assert confusion.sum() == got["n"] == 100
    assert confusion.trace() / got["n"] == got["accuracy"]
    assert got["per_class"] == pytest.approx(list(confusion.diagonal() / confusion.sum(1)))


def test_evaluate_on_another_split_and_data_set(call: Call, run: str) -> None:
    got = call("evaluate", run, "--split", "valid")
    assert got["accuracy"] == pytest.approx(Store().run(run).valid_accuracy)
    trust = got["calibration"]
    assert trust["temperature"] == find_checkpoint(run).metrics["temperature"]
    assert trust["loss"] == pytest.approx(got["loss"], rel=1e-6)
    assert trust["temperature"] is None  # too few images to fit one
    assert trust["calibrated_error"] == trust["error"] > 0
    other = call("evaluate", run, "--dataset", "mnist-mini", "--split", "valid")
    assert other["n"] == 2000


@pytest.fixture
def strokes(tmp_path: Path) -> Path:
    """Three digits of two writers."""
    file = tmp_path / "strokes.unipen"
    parts = ((1, 3, "100 400\n 100 200"), (7, 3, "100 300\n 200 300\n 150 100"), (1, 9, "90 400\n 100 200"))
    text = (
        f'.SEGMENT DIGIT {i} ? "{label}"\n.COMMENT {label} {who} 1\n.PEN_DOWN\n {line}\n.PEN_UP\n'
        for i, (label, who, line) in enumerate(parts)
    )
    file.write_text("".join(text))
    return file


def test_evaluate_on_strokes_draws_them_as_asked(call: Call, run: str, strokes: Path, mistake: Callable[..., str]) -> None:
    where, digits = ("--dataset", f"pen-strokes:{strokes}"), read_unipen(strokes)
    found = find_checkpoint(run)
    model = load_model(found).eval()

    def right(brush: float, size: float, seed: int | None, chosen: list[int]) -> float:
        drawn = prepared_split([digits[i] for i in chosen], brush, size, seed)
        with torch.no_grad():
            return (model(normalize(drawn.images, found.spec)).argmax(1) == drawn.labels).double().mean().item()

    assert call("evaluate", run, *where, "--brush", 9, "--size", 0.9)["accuracy"] == pytest.approx(right(9, 0.9, None, [0, 1, 2]))
    assert call("evaluate", run, *where, "--writers", "1-5")["n"] == 2
    grid = call("evaluate", run, *where, "--writers", "9", "--grid")
    assert [(cell["brush"], cell["size"]) for cell in grid["grid"]] == [(b, s) for b in (8, 14, 20, 28) for s in (0.4, 0.6, 0.8, 0.95)]
    expected = [right(cell["brush"], cell["size"], 0, [2]) for cell in grid["grid"]]
    assert [cell["accuracy"] for cell in grid["grid"]] == pytest.approx(expected)
    assert (grid["mean"], grid["worst"]) == pytest.approx((sum(expected) / 16, min(expected)))
    assert "writers 3 to 9" in mistake("evaluate", run, *where, "--writers", "21-30")
    assert "pen strokes" in mistake("evaluate", run, "--dataset", "mnist-mini", "--brush", 9)


@pytest.mark.parametrize("initial", [False, True])
def test_inspect_is_residual_statistics(call: Call, run: str, initial: bool) -> None:
    got = call("inspect", run, "--count", 40, "--seed", 3, *(["--initial"] if initial else []))
    checkpoint = find_checkpoint(run)
    _, split = load_split(checkpoint.config.data, "test")
    images = normalize(split.images[some_images(len(split), 40, 3)], checkpoint.spec)
    model = settle_norms(initial_model(checkpoint), images) if initial else load_model(checkpoint)
    expected = residual_statistics(model, images)
    assert [block["name"] for block in got["blocks"]] == [block.name for block in expected]
    for block, reference in zip(got["blocks"], expected, strict=True):
        for key in ("stage", "block", "residual_norm", "shortcut_norm", "output_norm", "ratio", "cosine", "dead_share"):
            assert block[key] == getattr(reference, key)
    assert (got["count"], got["split"], got["mode"]) == (40, "test", "eval")


def test_inspect_of_a_plain_network_has_null_where_there_is_no_shortcut(call: Call, own_runs: Path, tmp_path: Path) -> None:
    block = call("inspect", plain_checkpoint(tmp_path), "--dataset", "mnist-mini", "--count", 8)["blocks"][0]
    assert (block["shortcut_norm"], block["ratio"], block["cosine"]) == (None, None, None)
    assert block["residual_norm"] > 0


def plain_checkpoint(folder: Path, **changes: object) -> Path:
    """An untrained network's, for data of any kind."""
    config = RunConfig.from_flat({"model": "plain8", "width": 0.25, **changes})
    spec = load_spec(config.data)
    path = folder / f"{config.data.dataset}.safetensors"
    save_checkpoint(path, build_model(config.model, spec, seed=0).state_dict(), config, spec, {})
    return path


def test_predict_says_what_the_network_says(call: Call, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_core.familiarity.REFERENCES", 60)
    monkeypatch.setattr("resnet_core.familiarity.CALIBRATION", 60)
    _, split = load_split(DataConfig(), "test")
    files = []
    for index in range(3):
        digit = Image.fromarray(255 - split.images[index, 0].numpy()).resize((140, 140), Image.Resampling.BICUBIC)
        page = Image.new("L", (300, 260), 240)
        page.paste(digit, (70, 60))
        files.append(tmp_path / f"{index}.png")
        page.save(files[-1])
    rows = call("predict", run, *files)
    checkpoint = find_checkpoint(run)
    model = load_model(checkpoint)
    for file, row in zip(files, rows, strict=True):
        prepared = prepare_photo(file).image
        expected = ask(checkpoint, model, prepared).probabilities
        assert row["file"] == str(file)
        assert row["prepared"] == prepared.tolist()
        assert row["probabilities"] == pytest.approx(expected.tolist(), abs=1e-7)
        assert row["label"] == checkpoint.spec.classes[int(expected.argmax())]
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        (opinion,) = row["networks"]
        assert (opinion["network"], opinion["answer"], opinion["probabilities"]) == (run, row["label"], row["probabilities"])
        assert 0 <= opinion["farther"] <= 1
        assert row["certainty"] in ("sure", "likely", "odd", "unsure", "none")


def test_tables_for_people(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["data", "list"], ["describe", "resnet8"], ["runs", "list"], ["runs", "show", run], ["evaluate", run], ["inspect", run, "--count", "4"]):  # fmt: skip
        capsys.readouterr()
        assert cli.run(arguments) == 0
        output = capsys.readouterr()
        assert len(output.out.splitlines()) > 1
        assert "{" not in output.out


# -- mistakes ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "No such command"),
        (["describe"], "--help"),
        (["describe", "resnet21"], "6n + 2"),
        (["describe", "resnt20"], "did you mean"),
        (["describe", "resnet20", "--option", "D"], "option must be one of auto, A, B, C"),
        (["describe", "resnet20", "--dataset", "minst"], "did you mean"),
        (["train", "--bogus", "1"], "--bogus"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--epochs", "0"], "epochs must be between 1 and"),
        (["train", "--model", "resnet9000x"], "Unknown"),
        (["train", "--dataset", "mnst"], "did you mean"),
        (["train", "--dataset", "cifar100"], "data fetch cifar100"),
        (["train", "--dataset", "image-folder:/no/such/folder"], "/no/such/folder"),
        (["train", "--set", "learning_rte=1"], "learning_rate"),
        (["train", "--set", "learning_rate=5000"], "between"),
        (["train", "--set", "learning_rate=fast"], "a number"),
        (["train", "--set", "learning_rate"], "key=value"),
        (["train", "--device", "tpu"], "device must be one of"),
        (["train", "--set", "precision=float16", "--device", "cpu"], "precision"),
        (["train", "--set", "start_from=nobody"], "nobody"),
        (["train", "--preset", "fast-gpu"], "did you mean fast-cpu"),
        (["train", "--recipe", "/no/such.toml"], "There is no file"),
        (["train", "--resume", "nobody"], "There is no run"),
        (["train", "--run", "nobody"], "There is no run"),
        (["runs", "show", "nobody"], "There is no run 'nobody'"),
        (["runs", "delete", "nobody"], "There is no run"),
        (["runs", "export", "nobody", "x.zip"], "There is no run"),
        (["runs", "import", "/no/such.zip"], "There is no file"),
        (["evaluate", "nobody"], "No run, shipped checkpoint or file"),
        (["evaluate", "no.safetensors"], "There is no file"),
        (["inspect", "nobody"], "No run, shipped checkpoint or file"),
        (["predict", "nobody", "x.png"], "No run, shipped checkpoint or file"),
        (["predict"], "--help"),
        (["data", "fetch", "nope"], "Unknown data set"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(own_runs: Path, mistake: Callable[..., str], arguments: list[str], words: str) -> None:
    assert words in mistake(*arguments)
    if own_runs.exists():
        assert Store().runs() == (), "no row for what could be known before"


def test_mistakes_with_a_checkpoint(run: str, mistake: Callable[..., str], tmp_path: Path) -> None:
    assert "split must be one of train, valid, test" in mistake("evaluate", run, "--split", "all")
    assert "--count" in mistake("inspect", run, "--count", 0)
    assert "Unknown data set" in mistake("inspect", run, "--dataset", "nope")
    assert "data fetch fashion-mnist" in mistake("evaluate", run, "--dataset", "fashion-mnist")
    assert "There is no file" in mistake("predict", run, tmp_path / "no.png")
    (tmp_path / "text.png").write_text("no image")
    assert "cannot be read" in mistake("predict", run, tmp_path / "text.png")
    Image.new("L", (100, 100), 255).save(tmp_path / "blank.png")
    assert "no writing" in mistake("predict", run, tmp_path / "blank.png")
    assert "finished" in mistake("train", "--resume", run)
    said = mistake("train", "--resume", run, "--epochs", 7, "--set", "learning_rate=banana", "--preset", "fast-cpu")
    assert "epochs, learning_rate, preset" in said, "nothing that was asked for is left out in silence"
    before = len(Store().runs())
    assert "for testing only" in mistake("train", "--dataset", "fashion-mnist-sample", "--epochs", 1)
    assert len(Store().runs()) == before, "no row of a training that can never begin"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(find_checkpoint(run).path.read_bytes()[:-7])
    for verb in (["evaluate", damaged], ["inspect", damaged], ["predict", damaged, "x.png"]):
        assert "is damaged" in mistake(*verb)
    torch.save({"weights": torch.zeros(3)}, tmp_path / "theirs.pt")
    assert "pickle" in mistake("evaluate", tmp_path / "theirs.pt")
    Path(tmp_path / "no.zip").write_bytes(b"zip")
    assert "cannot be imported" in mistake("runs", "import", tmp_path / "no.zip")
    assert "no/folder" in mistake("runs", "export", run, tmp_path / "no" / "folder" / "x.zip")


def test_a_colour_network_neither_reads_sketches_nor_gray_images(own_runs: Path, mistake: Callable[..., str], tmp_path: Path) -> None:
    colour = plain_checkpoint(tmp_path, dataset="cifar10")
    assert "3 channel(s), this needs 1" in mistake("predict", colour, "x.png")
    assert "3 channel(s), this needs 1" in mistake("evaluate", colour, "--dataset", "mnist-mini")


def test_a_network_for_other_classes(own_runs: Path, mistake: Callable[..., str], tmp_path: Path) -> None:
    config = RunConfig.from_flat({"model": "plain8", "width": 0.25})
    spec = load_spec(config.data)
    spec = type(spec).from_dict({**spec.to_dict(), "classes": ("even", "odd")})
    save_checkpoint(tmp_path / "two.safetensors", build_model(config.model, spec, seed=0).state_dict(), config, spec, {})
    assert "2 classes" in mistake("evaluate", tmp_path / "two.safetensors", "--dataset", "mnist-mini")


def test_a_runs_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mistake: Callable[..., str]) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RESNET_RUNS", str(tmp_path / "file"))
    for arguments in (["runs", "list"], ["train"]):
        assert "Cannot write to" in mistake(*arguments)


def test_a_relative_folder_is_found_from_anywhere(own_runs: Path, digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet_core.runs.queue import check

    folder = Path(digits.removeprefix("image-folder:"))
    monkeypatch.chdir(folder.parent)
    config, _ = check(RunConfig.from_flat({"dataset": f"image-folder:{folder.name}"}))
    assert config.data.dataset == digits
