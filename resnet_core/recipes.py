"""A run's settings as a TOML file that people write, keep and hand on: one table per part (data, model, augment, train).

A file holds all settings or a few; what it leaves out stays as it was. TOML knows no null: a setting that is off is "none".
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from resnet_core.config import PARTS, RunConfig
from resnet_core.errors import UserError, nearest

LARGEST = 1_000_000  # bytes; a recipe has two thousand


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings in the file, flat and valid. Raises file_missing, recipe_unreadable, and what is wrong with any of them."""
    try:
        if path.stat().st_size > LARGEST:
            raise UserError("recipe_unreadable", path=path, reason=f"it is larger than {LARGEST:,} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError("file_missing", path=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("recipe_unreadable", path=path, reason=str(getattr(error, "strerror", None) or error)) from error
    return parse_recipe(text, path)


def parse_recipe(text: str, path: Path | str = "recipe.toml") -> dict[str, Any]:
    """As read_recipe, from the file's text."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError("recipe_unreadable", path=path, reason=str(error)) from error
    settings: dict[str, Any] = {}
    for part, table in tables.items():
        if part not in PARTS:
            raise UserError("unknown_setting", value=part, hint=nearest(part, PARTS))
        if not isinstance(table, dict):
            raise UserError("recipe_unreadable", path=path, reason=f"{part} is no table: write [{part}]")
        checked = PARTS[part].from_dict(table).to_dict()
        settings |= {name: checked[name] for name in table}
    return settings


def recipe_text(config: RunConfig, *, comment: str = "") -> str:
    """Every setting of the run, so that the file means the same when defaults change."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for part, values in config.to_dict().items():
        lines += [*([""] if lines else []), f"[{part}]", *(f"{name} = {_toml(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON text is a TOML text, but for this character
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
