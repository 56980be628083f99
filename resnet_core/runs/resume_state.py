"""All that an interrupted training needs to go on exactly, in two generations: the newest, and the one before it.

A file is a SHA-256 in hex, a newline, and what torch.save wrote. A torn or changed file is noticed and the one before it is used.

Saving writes resume.pt.new whole, renames resume.pt to resume.previous.pt, then resume.pt.new to resume.pt. Between any two of these
there is a whole file, and the first whole one of (resume.pt.new, resume.pt, resume.previous.pt) is the newest.
"""

import io
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_core.errors import UserError
from resnet_core.runs.files import digest, sync_folder, write_atomically
from resnet_core.writing import writing_to

FRESH, NEWEST, PREVIOUS = "resume.pt.new", "resume.pt", "resume.previous.pt"
GENERATIONS = (FRESH, NEWEST, PREVIOUS)  # the newest first


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
    fresh, newest, previous = (folder / name for name in GENERATIONS)
    write_atomically(fresh, data)  # whole on the disk before the old ones move
    with writing_to(folder):
        if newest.exists():
            newest.replace(previous)
        fresh.replace(newest)
    sync_folder(folder)


def load_resume_state(folder: Path, run: str) -> ResumeState | None:
    """The newest readable state, None where none was ever written. Raises resume_damaged when there are files and none can be read.

    Damaged files newer than the one that is used are taken away, so that the next save does not keep them as "the one before".
    """
    reasons: list[str] = []
    damaged: list[Path] = []
    for file in (folder / name for name in GENERATIONS):
        if not file.exists():
            continue
        try:
            state = read_state(file.read_bytes())
        except (OSError, DamagedState) as error:
            reasons.append(f"{file.name}: {getattr(error, 'strerror', None) or error}")
            damaged.append(file)
            continue
        for other in damaged:
            other.unlink(missing_ok=True)
        return ResumeState(state=state, damaged=reasons[0] if reasons else None)
    if reasons:
        raise UserError("resume_damaged", run=run, reason="; ".join(reasons))
    return None


def has_resume_state(folder: Path) -> bool:
    return any((folder / name).exists() for name in GENERATIONS)


class DamagedState(Exception):
    """Why a file's bytes are not a resume state."""


def read_state(data: bytes) -> dict[str, Any]:
    """The state in a file's bytes; nothing in them is ever run. Raises DamagedState."""
    if not data:
        raise DamagedState("it is empty")
    checksum, _, payload = data.partition(b"\n")
    if digest(payload).encode() != checksum:
        raise DamagedState("its checksum does not match")
    try:
        with warnings.catch_warnings(action="ignore"):  # torch remarks on files that are not its own
            state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, AttributeError, IndexError, EOFError, ImportError) as error:
        raise DamagedState("its content is not a state") from error
    if not isinstance(state, dict):
        raise DamagedState("its content is not a state")
    return state
