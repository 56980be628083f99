"""What the description and the rows of a run from elsewhere must be, so that pages which show it meet nothing that they do not know."""

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from resnet_core.config import RunConfig, TrainConfig
from resnet_core.errors import NOTES, UserError
from resnet_core.inspection.residual import BlockStatistics
from resnet_core.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS
from resnet_core.runs.run import ENDED
from resnet_core.training.device import COMPUTED
from resnet_core.training.events import RunStarted

FORMAT = "residual-lens-run-1"
ROW, METRICS = "run.json", "metrics.json"
RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
COLUMNS = ("name", "note", "pair", "status", "created", "started", "ended", "epoch", "step", "images_per_second", "valid_accuracy", "best_valid_accuracy")  # fmt: skip
TEXT = {"name": 200, "note": 20_000, "status": 20, "pair": 64}  # longest
TABLES: dict[str, tuple[str, ...]] = {
    "steps": STEP_COLUMNS,
    "epochs": EPOCH_COLUMNS,
    "blocks": ("step", "statistics"),
    "notices": ("step", "code", "fill"),
}
WHOLE = ("step", "epoch", "trainable")  # columns of whole numbers
KINDS: dict[Any, Any] = {
    int: int,
    str: str,
    float: (int, float),
    float | None: (int, float, type(None)),
    dict[str, float]: dict,
}  # of fields
# Of a run's result: finite numbers, words, and what pages expect together.
RESULT_NUMBERS = ("test_accuracy", "test_images", "seconds", "peak_memory", "accuracy_before", "accuracy_after", "measured_images")
RESULT_WORDS = ("tested", "weights_sha256", "imported_from", "removed_from")
TOGETHER = (("test_accuracy", "test_images", "tested", "seconds"), ("accuracy_before", "accuracy_after", "measured_images"))


class Refused(Exception):
    """Why an archive is not let in."""


def checked_config(described: Mapping[str, Any]) -> RunConfig:
    if described.get("format") != FORMAT:
        raise Refused(f"its format is {str(described.get('format'))[:40]!r}, not {FORMAT!r}")
    try:
        return RunConfig.from_dict(described["config"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Refused(f"its settings are not valid: {error}") from error


def checked_columns(described: Mapping[str, Any]) -> dict[str, Any]:
    row = described.get("row")
    if not isinstance(row, dict):
        raise Refused("row is not an object")
    columns: dict[str, Any] = {}
    for column in COLUMNS:
        value = row.get(column)
        if column in TEXT:
            if not isinstance(value, str) and not (column == "pair" and value is None):
                raise Refused(f"{column} is not text")
            columns[column] = value[: TEXT[column]] if value is not None else None
        else:
            columns[column] = _number(column, value)
    if columns["pair"] is not None and not RUN_ID.fullmatch(columns["pair"]):
        columns["pair"] = None
    if columns["status"] not in ENDED:  # it was still waiting or training elsewhere
        columns["status"] = "interrupted"
    columns |= {"epoch": int(columns["epoch"] or 0), "step": int(columns["step"] or 0), "created": columns["created"] or time.time()}
    for column, check in (("facts", _check_facts), ("result", _check_result)):
        if not isinstance(described.get(column), dict):
            raise Refused(f"{column} is not an object")
        check(described[column])
        columns[column] = json.dumps(described[column])
    return {**columns, **_checked_error(described.get("error"))}


def _checked_error(error: Any) -> dict[str, Any]:
    """A sentence that can really be said: a known code whose values fill it."""
    if error is None:
        return {}
    try:
        code, values = error
        UserError(code, **values)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
        raise Refused("its error is not one of ours") from problem
    return {"error_code": code, "error_values": json.dumps(values)}


def _check_facts(facts: Mapping[str, Any]) -> None:
    """None, or all that a training says at its start."""
    for item in fields(RunStarted):
        kind = KINDS[item.type]
        needed = bool(facts) and item.default is MISSING and item.default_factory is MISSING
        if (needed or item.name in facts) and (not isinstance(facts.get(item.name), kind) or isinstance(facts[item.name], bool)):
            raise Refused(f"{item.name} in facts is not valid")
    for name in COMPUTED:
        if name in facts and facts[name] not in (TrainConfig.settings()[name].choices or ()):
            raise Refused(f"{name} in facts is not valid")


def _check_result(result: Mapping[str, Any]) -> None:
    for name in RESULT_NUMBERS:
        if name in result:
            _number(name, result[name])
    if not isinstance(result.get("test_loss", 0.0), int | float):  # it may be nan
        raise Refused("test_loss is not a number")
    for name in RESULT_WORDS:
        if not isinstance(result.get(name, ""), str):
            raise Refused(f"{name} is not text")
    for group in TOGETHER:
        if group[0] in result and any(result.get(name) is None for name in group):
            raise Refused(f"its result has {group[0]} without what comes with it")


def _number(column: str, value: Any) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not math.isfinite(value):
        raise Refused(f"{column} is not a number")
    return value  # type: ignore[no-any-return]


def _is_number(value: Any) -> bool:
    """One that the store can hold, or nan."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > 2**53


def checked_rows(metrics: Mapping[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table, columns in TABLES.items():
        found = metrics.get(table)
        if not isinstance(found, list) or not all(isinstance(row, list) and len(row) == len(columns) for row in found):
            raise Refused(f"{table} is not a list of rows of {len(columns)} values")
        rows[table] = [tuple(_cell(table, column, value) for column, value in zip(columns, row, strict=True)) for row in found]
        if table != "notices" and len({row[0] for row in rows[table]}) != len(rows[table]):
            raise Refused(f"{columns[0]} in {table} comes twice")
    parts = {tuple(json.loads(row[-1])) for row in rows["steps"]}
    if len(parts) > 1:
        raise Refused("gradient_norms in steps are not of the same parts")
    for _, code, fill in rows["notices"]:
        try:
            NOTES[code].format(**json.loads(fill))
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise Refused("notices holds a note that cannot be said") from error
    return rows


def _cell(table: str, column: str, value: Any) -> Any:
    if column in JSON_COLUMNS:
        try:
            known = isinstance(value, str) and JSON_COLUMNS[column](json.loads(value))
        except (ValueError, RecursionError):
            known = False
        if not known:
            raise Refused(f"{column} in {table} is not valid")
        return value
    if column == "code":
        if value not in NOTES:
            raise Refused(f"{table} holds an unknown note")
        return value
    if value is None and column == "valid_loss":
        return None
    if not _is_number(value) or not math.isfinite(value) or (column in WHOLE and value != int(value)):
        raise Refused(f"{column} in {table} is not a number")
    return value


def _are_norms(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(norm, int | float) for norm in value.values())


def _are_statistics(value: Any) -> bool:
    try:
        blocks = [BlockStatistics(**item) for item in value]
    except TypeError:
        return False
    return all(_is_block(block) for block in blocks)


def _is_block(block: BlockStatistics) -> bool:
    plain = all(isinstance(getattr(block, item.name), KINDS[item.type]) for item in fields(block) if item.type in KINDS)
    return plain and (block.layer_grad_norms is None or _are_norms(block.layer_grad_norms))


JSON_COLUMNS: dict[str, Callable[[Any], bool]] = {
    "gradient_norms": _are_norms, "statistics": _are_statistics, "fill": lambda value: isinstance(value, dict),
}  # fmt: skip
