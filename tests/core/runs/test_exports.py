"""Exports as the programs that they are for read them."""

import math
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.inspection import BlockStatistics
from resnet_core.runs import Run, Store, read_blocks, read_epochs, read_steps
from resnet_core.runs.exports import EXTRAS, OUR_RUN, export_mlflow, export_tensorboard, scalars
from resnet_core.runs.metrics import RunWriter
from resnet_core.training import EpochDone, StepDone

PROJECT = Path(__file__).parents[3]
NORMS = {"stem": 0.5, "head": 0.25}


def block(name: str, ratio: float | None) -> BlockStatistics:
    empty: dict[str, Any] = dict.fromkeys(BlockStatistics.__dataclass_fields__)
    return BlockStatistics(**{**empty, "name": name, "stage": 1, "block": 1, "ratio": ratio, "cosine": ratio, "dead_share": 0.125})


@pytest.fixture
def run(store: Store, small: Callable[..., RunConfig]) -> Run:
    """One that ended after two epochs of three steps, its first validation loss no number."""
    found = store.create(small(), "cpu", name="My run").run
    writer = RunWriter(store, found)
    for number in range(1, 7):
        writer.write(StepDone(step=number, epoch=(number + 2) // 3, loss=2 / number, learning_rate=0.1 * number, images_per_second=50.0,
                              stage_gradient_norms=NORMS))  # fmt: skip
        if number % 3 == 0:
            loss = math.nan if number == 3 else 0.5
            writer.write(EpochDone(epoch=number // 3, step=number, train_loss=1.5, train_accuracy=0.25, valid_loss=loss, valid_accuracy=number / 10,
                                   learning_rate=0.1, images_per_second=50.0, seconds=1.0, best=True, trainable=9,
                                   block_statistics=(block("stages.0.0", 0.75), block("stages.1.0", None))))  # fmt: skip
    writer.set(status="finished", started=1000.0, ended=2000.0, result={"test_accuracy": 0.875, "test_loss": 0.5})
    writer.close()
    return store.run(found)


def expected(store: Store, run: Run) -> dict[str, list[tuple[int, float]]]:
    """Every curve written out."""
    steps, epochs = read_steps(store, run.run), read_epochs(store, run.run)
    curves = {
        "step/train_loss": list(zip(steps.step, steps.loss, strict=True)),
        "step/learning_rate": list(zip(steps.step, steps.learning_rate, strict=True)),
        "step/images_per_second": [(n, 50.0) for n in range(1, 7)],
        "gradient_norm/stem": [(n, 0.5) for n in range(1, 7)],
        "gradient_norm/head": [(n, 0.25) for n in range(1, 7)],
        "block_ratio/stages.0.0": [(3, 0.75), (6, 0.75)],
        "block_cosine/stages.0.0": [(3, 0.75), (6, 0.75)],
        "block_dead_share/stages.0.0": [(3, 0.125), (6, 0.125)],
        "block_dead_share/stages.1.0": [(3, 0.125), (6, 0.125)],
        "test/accuracy": [(6, 0.875)],
        "test/loss": [(6, 0.5)],
    }
    for column in ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"):
        curves[f"epoch/{column}"] = [(row.step, getattr(row, column)) for row in epochs]
    return curves


def assert_same_curves(found: dict[str, list[tuple[int, float]]], wanted: dict[str, list[tuple[int, float]]]) -> None:
    assert sorted(found) == sorted(wanted)
    for name, points in wanted.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in points], rel=1e-6, nan_ok=True), name


def test_every_measured_number_is_a_point(store: Store, run: Run) -> None:
    curves: dict[str, list[tuple[int, float]]] = {}
    for point in scalars(store, run):
        curves.setdefault(point.name, []).append((point.step, point.value))
    assert_same_curves(curves, expected(store, run))
    assert len(read_blocks(store, run.run)) == 2


@pytest.mark.filterwarnings("ignore")  # the readers' own
def test_tensorboard_reads_what_was_exported(store: Store, run: Run, tmp_path: Path) -> None:
    """Also after a second export, which takes the first one's place."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs the extra: tensorboard")
    for _ in range(2):
        target = export_tensorboard(store, run.run, tmp_path / "boards")
    assert target == tmp_path / "boards" / run.run
    reader = accumulator.EventAccumulator(str(target), size_guidance={"scalars": 0})
    reader.Reload()
    curves = {tag: [(point.step, point.value) for point in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    assert_same_curves(curves, expected(store, run))
    (text,) = (reader.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in reader.Tags()["tensors"])
    assert "| learning_rate | 0.1 |" in text
    assert "My run (finished)" in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the readers' own
def test_mlflow_reads_what_was_exported(store: Store, run: Run, tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="needs the extra: mlflow")
    pytest.importorskip("sqlalchemy", reason="needs the extra: mlflow")
    for _ in range(2):
        uri = export_mlflow(store, run.run, str(tmp_path / "flow"))
    client = tracking.MlflowClient(tracking_uri=uri)
    (experiment,) = [found for found in client.search_experiments() if found.name == "Residual Lens"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status, found.info.start_time, found.info.end_time) == (
        "My run",
        "FINISHED",
        1000_000,
        2000_000,
    )
    assert found.data.tags[OUR_RUN] == run.run
    assert found.data.params == {key: str(value) for key, value in run.config.flat().items()}
    wanted = expected(store, run)
    curves = {name: [(m.step, m.value) for m in sorted(client.get_metric_history(found.info.run_id, name), key=lambda m: m.step)] for name in found.data.metrics}  # fmt: skip
    assert_same_curves({name: points for name, points in curves.items() if name != "epoch/valid_loss"}, {name: points for name, points in wanted.items() if name != "epoch/valid_loss"})  # fmt: skip
    assert curves["epoch/valid_loss"][-1] == (6, 0.5)
    with pytest.raises(UserError) as caught:
        export_mlflow(store, run.run, "nonsense://place")
    assert caught.value.code == "export_failed"


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_extra_is_one_sentence_with_the_command(
    name: str, store: Store, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    export = {
        "tensorboard": lambda: export_tensorboard(store, run.run, tmp_path),
        "mlflow": lambda: export_mlflow(store, run.run, str(tmp_path)),
    }
    with pytest.raises(UserError, match=f"This needs {name}, which is not installed; install it with 'pip install .*{name}"):
        export[name]()


def test_the_extras_are_those_of_the_project_file() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name: {re.split("[<>=]", line)[0] for line in lines} for name, lines in extras.items() if name in EXTRAS} == {
        name: set(packages.values()) for name, packages in EXTRAS.items()
    }


def test_an_unknown_run_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run 'nobody'"):
        export_tensorboard(store, "nobody", tmp_path)
