"""What verbs share: JSON on stdout, tables for people, progress on stderr, `key=value` settings."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import typer

from resnet_core.errors import UserError

EXIT_STOPPED = 130  # as after Ctrl-C
JSON_OPTION = typer.Option(False, "--json", help="one JSON document on stdout")


def write_json(value: object, *, line: bool = False) -> None:
    """With `line`, compact and flushed: one object per line, readable while the command still runs."""
    print(json.dumps(plain(value), ensure_ascii=False, indent=None if line else 2), flush=line)


def plain(value: Any) -> Any:
    """Dataclasses, arrays and paths as what JSON knows; nan and infinity become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({item.name: getattr(value, item.name) for item in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | bool) or value is None:
        return value
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def write_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under each other; numbers to the right."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    numeric = [all(_is_number(row[column]) for row in cells[1:]) for column in range(len(header))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        line = "  ".join(text.rjust(width) if right else text.ljust(width) for text, width, right in zip(row, widths, numeric, strict=True))
        print(line.rstrip())


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, tuple):
        return "x".join(str(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").lstrip("-").isdigit()


def say(text: str) -> None:
    """Progress and remarks: on stderr, so that stdout holds results alone."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """One line on stderr that is written over; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._width = 0

    def show(self, text: str) -> None:
        if self._live:
            print(f"\r{text.ljust(self._width)}", end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def end(self) -> None:
        if self._live and self._width:
            print(file=sys.stderr)
            self._width = 0


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """`--set key=value` options as a mapping."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise UserError("wrong_type", field="set", value=pair, kind="key=value")
        settings[key.strip()] = value.strip()
    return settings
