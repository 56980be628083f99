"""A run as people and pages see it: a frozen row of the store."""

import json
import re
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_core.config import RunConfig
from resnet_core.runs.process import ProcessMark

STATUSES = ("queued", "running", "paused", "finished", "stopped", "failed", "interrupted")
ACTIVE = ("running", "paused")
ENDED = ("finished", "stopped", "failed", "interrupted")
LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"  # none that look alike
IMPORTED_FROM = "imported_from"  # in a run's result, and in a checkpoint that was fitted: the name of the file


@dataclass(frozen=True, kw_only=True)
class Run:
    """`facts` is what the training said at its start (devices, precision, step counts), `result` what was measured at its end.

    `error` is a code of `resnet_core.errors.MESSAGES` and its values. `position` counts the waiting ones of its device from 1.
    """

    run: str
    name: str
    status: str
    config: RunConfig
    folder: Path
    pair: str | None
    device: str
    created: float
    started: float | None
    ended: float | None
    mark: ProcessMark | None
    heartbeat: float | None
    facts: Mapping[str, Any]
    result: Mapping[str, Any]
    epoch: int
    step: int
    images_per_second: float | None
    valid_accuracy: float | None
    best_valid_accuracy: float | None
    error: tuple[str, Mapping[str, Any]] | None
    note: str
    deleted: float | None
    position: int | None = None

    @property
    def model_name(self) -> str:
        return self.config.model.model

    @property
    def dataset(self) -> str:
        return self.config.data.dataset

    @property
    def test_accuracy(self) -> float | None:
        return self.result.get("test_accuracy")

    @property
    def is_imported(self) -> bool:
        """Its weights came as a file: no training in this store stands behind them."""
        return IMPORTED_FROM in self.result

    @property
    def total_steps(self) -> int | None:
        return self.facts.get("total_steps")

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def is_going_on(self) -> bool:
        """It trains, or waits for its turn."""
        return self.is_active or self.status == "queued"

    @property
    def is_resumable(self) -> bool:
        """Stopped, interrupted, or failed for a reason that may be gone; a NaN would only come back."""
        return self.status in ("stopped", "interrupted", "failed") and (self.error is None or self.error[0] != "loss_not_finite")


def run_of(row: sqlite3.Row, root: Path, position: int | None = None) -> Run:
    mark = None if row["pid"] is None else ProcessMark(host=row["host"], pid=row["pid"], start=row["pid_start"])
    error = None if row["error_code"] is None else (row["error_code"], json.loads(row["error_values"]))
    same = ("run", "name", "status", "pair", "device", "created", "started", "ended", "heartbeat", "epoch", "step")
    more = ("images_per_second", "valid_accuracy", "best_valid_accuracy", "note", "deleted")
    return Run(
        **{key: row[key] for key in (*same, *more)},
        config=RunConfig.from_json(row["config"]),
        folder=root / row["run"],
        mark=mark,
        facts=json.loads(row["facts"]),
        result=json.loads(row["result"]),
        error=error,
        position=position,
    )


def new_run_id(config: RunConfig) -> str:
    """`resnet20-mnist-mini-k3f9`: what it is, and four letters that make it one of a kind."""
    dataset = config.data.dataset.rstrip("/").rpartition(":")[2].rpartition("/")[2]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{config.model.model}-{dataset}".lower()).strip("-")[:48]
    return f"{slug}-{''.join(secrets.choice(LETTERS) for _ in range(4))}"
