"""Where runs live on disk, and files that are whole or not there at all."""

import hashlib
import os
import tempfile
from pathlib import Path

from resnet_core.data.writing import writing_to


def runs_root() -> Path:
    """$RESNET_RUNS, else ./runs."""
    return Path(os.environ.get("RESNET_RUNS") or "runs")


def write_atomically(path: Path, data: bytes) -> None:
    """A temporary file beside `path`, flushed to the disk, then renamed: readers see the old bytes or the new ones, never a part.

    Raises UserError for a full disk or a place that cannot be written; the old file is then still there.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The new name itself on the disk; not every system can (Windows cannot), and then the rename alone must do."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def folder_size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
