"""Where runs live on disk, and files that are whole or not there at all."""

import hashlib
import os
import secrets
from pathlib import Path

from resnet_core.writing import writing_to


def runs_root() -> Path:
    """$RESNET_RUNS, else ./runs."""
    return Path(os.environ.get("RESNET_RUNS") or "runs")


def write_atomically(path: Path, data: bytes) -> None:
    """A temporary file beside `path`, flushed to the disk, then renamed: readers see the old bytes or the new ones, never a part.

    Raises UserError for a full disk or a place that cannot be written; the old file is then still there.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:  # with the permissions that this person's files have
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
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


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any file
        return False


def folder_size(folder: Path) -> int:
    """Bytes of all files below; one that vanishes meanwhile counts nothing."""
    return sum(_size(file) for file in folder.rglob("*"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if is_file(file) else 0
    except OSError:
        return 0
