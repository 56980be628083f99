"""Arrays that took long to make, kept in a file under the data root; whoever deletes it only waits once more."""

import os
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = "cache"
DAMAGED = (OSError, ValueError, KeyError, EOFError, SyntaxError, RuntimeError, MemoryError, struct.error, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class ArrayCache:
    """One npz file that counts as long as its `key` (all that its arrays were made from) is the present one."""

    file: Path
    key: str

    def read(self, *names: str) -> tuple[NDArray[Any], ...] | None:
        """These arrays; None when they were never kept, belong to another key or do not have their checksum (npz has one for each)."""
        try:
            with self.file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
                return tuple(arrays[name] for name in names) if str(arrays["key"]) == self.key else None
        except DAMAGED:
            return None

    def write(self, **arrays: NDArray[Any]) -> None:
        """Keep them, whole or not at all; a full disk or a folder that cannot be written costs only the time next time."""
        part = self.file.with_name(f"{self.file.name}.{os.getpid()}.part")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, key=np.array(self.key), **arrays)
            part.replace(self.file)
        except OSError:
            _removed(part)


def _removed(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return
