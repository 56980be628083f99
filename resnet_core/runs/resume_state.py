"""All that an interrupted training needs to go on exactly, in two generations: the newest, and the one before it.

A file is a SHA-256 in hex, a newline, and what torch.save wrote. A torn or changed file is noticed and the one before it is used.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_core.data.writing import writing_to
from resnet_core.errors import UserError
from resnet_core.runs.files import digest, write_atomically

NEWEST, PREVIOUS = "resume.pt", "resume.previous.pt"


@dataclass(frozen=True, kw_only=True)
class ResumeState:
    """`damaged` says why the newest file could not be used, when `state` is the one before it."""

    state: dict[str, Any]
    damaged: str | None = None


def save_resume_state(folder: Path, state: dict[str, Any]) -> None:
    """Keep what was the newest as the one before, then write this one whole."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    data = digest(payload).encode() + b"\n" + payload
    newest, previous = folder / NEWEST, folder / PREVIOUS
    fresh = folder / f"{NEWEST}.new"
    write_atomically(fresh, data)  # whole on the disk before the old ones move
    with writing_to(folder):
        if newest.exists():
            newest.replace(previous)
        fresh.replace(newest)


def load_resume_state(folder: Path, run: str) -> ResumeState | None:
    """The newest readable state, None where none was ever written. Raises resume_damaged when there are files and none can be read."""
    reasons: list[str] = []
    for file in (folder / f"{NEWEST}.new", folder / NEWEST, folder / PREVIOUS):
        if not file.exists():
            continue
        state = _read(file)
        if isinstance(state, dict):
            return ResumeState(state=state, damaged=reasons[0] if reasons else None)
        reasons.append(f"{file.name}: {state}")
    if reasons:
        raise UserError("resume_damaged", run=run, reason="; ".join(reasons))
    return None


def has_resume_state(folder: Path) -> bool:
    return any((folder / name).exists() for name in (NEWEST, PREVIOUS, f"{NEWEST}.new"))


def _read(file: Path) -> dict[str, Any] | str:
    """The state, or why it cannot be read."""
    try:
        data = file.read_bytes()
    except OSError as error:
        return str(error.strerror)
    checksum, _, payload = data.partition(b"\n")
    if digest(payload).encode() != checksum:
        return "its checksum does not match"
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return state
