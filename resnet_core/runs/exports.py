"""A run's numbers where people already look: TensorBoard's event files, and MLflow's tracking store. Each needs an extra of its own."""

import importlib.util
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_core.errors import UserError
from resnet_core.runs.metrics import read_blocks, read_epochs, read_steps
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store
from resnet_core.writing import writing_to

EXTRAS: dict[str, dict[str, str]] = {  # modules that must be there, and the packages that bring them
    "tensorboard": {"tensorboard": "tensorboard"},
    "mlflow": {"mlflow": "mlflow-skinny", "sqlalchemy": "sqlalchemy", "alembic": "alembic"},
}
OF_A_BLOCK = ("ratio", "cosine", "dead_share")
EXPERIMENT = "Residual Lens"
OUR_RUN = "residual_lens.run"  # the tag under which MLflow knows it
MLFLOW_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "interrupted": "KILLED"}  # all others: RUNNING
MLFLOW_BATCH = {"metrics": 1000, "params": 100}  # most that one call may hold


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One point of a curve; `name` is "group/curve", as both programs group them."""

    name: str
    step: int
    value: float


def scalars(store: Store, run: Run) -> Iterator[Scalar]:
    """All that the run measured, as points of curves over its steps."""
    steps = read_steps(store, run.run)
    for name in ("loss", "learning_rate", "images_per_second"):
        column = "train_loss" if name == "loss" else name
        yield from (Scalar(name=f"step/{column}", step=s, value=v) for s, v in zip(steps.step, getattr(steps, name), strict=True))
    for part, norms in steps.gradient_norms.items():
        yield from (Scalar(name=f"gradient_norm/{part}", step=s, value=v) for s, v in zip(steps.step, norms, strict=True))
    for row in read_epochs(store, run.run):
        for column in ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"):
            yield Scalar(name=f"epoch/{column}", step=row.step, value=getattr(row, column))
    for step, blocks in read_blocks(store, run.run).items():
        for block in blocks:
            for column in OF_A_BLOCK:
                value = getattr(block, column)
                if value is not None:
                    yield Scalar(name=f"block_{column}/{block.name}", step=step, value=value)
    for column in ("test_accuracy", "test_loss"):
        if run.result.get(column) is not None:
            yield Scalar(name=f"test/{column.removeprefix('test_')}", step=run.step, value=run.result[column])


def missing_packages(name: str) -> list[str]:
    """What pip would have to install for this export."""
    return [package for module, package in EXTRAS[name].items() if importlib.util.find_spec(module) is None]


def require_extra(name: str) -> None:
    """Raises extra_missing with the command that installs what is not there."""
    missing = missing_packages(name)
    if missing:
        raise UserError("extra_missing", name=name, command=f"pip install {' '.join(missing)}")


# -- TensorBoard -------------------------------------------------------------------------------------------------------------------


def export_tensorboard(store: Store, run: str, folder: Path) -> Path:
    """Event files in a folder of the run's own under `folder`, which `tensorboard --logdir` then reads; an earlier export is replaced."""
    found = store.run(run)
    require_extra("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    target = folder / found.run
    with writing_to(target):
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("events.out.tfevents.*"):
            old.unlink()
        writer = SummaryWriter(str(target))
        try:
            for point in scalars(store, found):
                writer.add_scalar(point.name, point.value, point.step)
            writer.add_text("settings", _settings_table(found))
        finally:
            writer.close()
    return target


def _settings_table(run: Run) -> str:
    rows = [f"| {name} | {value} |" for name, value in run.config.flat().items()]
    return "\n".join([f"{run.name} ({run.status})", "", "| setting | value |", "|---|---|", *rows])


# -- MLflow --------------------------------------------------------------------------------------------------------------------------


def export_mlflow(store: Store, run: str, target: str) -> str:
    """Into the tracking store at `target`: a URI (http://..., sqlite:///...), or a folder, which gets an mlflow.db. Returns the URI.

    Settings become parameters, every curve a metric. An earlier export of the run is replaced.
    """
    found = store.run(run)
    require_extra("mlflow")
    uri, artifacts = _tracking_place(target)
    with _quiet_mlflow(target):
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known is not None else client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        for old in client.search_runs([experiment], f"tags.`{OUR_RUN}` = '{found.run}'"):
            client.delete_run(old.info.run_id)
        _log_run(client, experiment, store, found)
    return uri


def _tracking_place(target: str) -> tuple[str, str | None]:
    """The URI of the tracking store and, where we make it, the place of its artifacts."""
    if "://" in target:
        return target, None
    folder = Path(target).absolute()
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _log_run(client: Any, experiment: str, store: Store, run: Run) -> None:
    from mlflow.entities import Metric, Param

    began, ended = (round(1000 * (moment or run.created)) for moment in (run.started, run.ended))
    tags = {OUR_RUN: run.run, "mlflow.note.content": run.note, **{f"residual_lens.{key}": str(value) for key, value in run.facts.items()}}
    made = client.create_run(experiment, start_time=began, run_name=run.name, tags=tags).info.run_id
    params = [Param(key, str(value)) for key, value in run.config.flat().items()]
    metrics = [Metric(point.name, point.value, ended, point.step) for point in scalars(store, run) if not math.isinf(point.value)]
    for kind, rows in (("params", params), ("metrics", metrics)):
        for start in range(0, len(rows), MLFLOW_BATCH[kind]):
            client.log_batch(made, **{kind: rows[start : start + MLFLOW_BATCH[kind]]})
    client.set_terminated(made, MLFLOW_STATUS.get(run.status, "RUNNING"), end_time=ended)


@contextmanager
def _quiet_mlflow(target: str) -> Iterator[None]:
    """Its remarks are for people who run a server; what it cannot do is said in one sentence."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException

    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    try:
        yield
    except (MlflowException, OSError) as error:
        raise UserError("export_failed", target=target, reason=(str(error).strip() or type(error).__name__).splitlines()[0]) from error
