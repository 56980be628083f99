"""C for this very processor, made by the compiler that the machine has; without one, or where anything is amiss, there is none.

The library is kept in `__pycache__` beside its sources, under a name that tells of sources, compiler, processor, PyTorch and its own content.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

COMPILED = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-c")
LINKED = ("-shared", "-Wl,-z,defs")  # whose OpenMP is not GCC's does not link
CPUINFO = Path("/proc/cpuinfo")
SECONDS = 60


def load(sources: Sequence[Path]) -> ctypes.CDLL | None:
    """The library of these C files of one folder, compiled where it has not been yet; None where that is impossible."""
    command, threads = shlex.split(os.environ.get("CC", "cc")), _threads_of_torch()
    compiler = shutil.which(command[0]) if command else None
    if sys.platform != "linux" or compiler is None or threads is None:
        return None
    kept = sources[0].parent / "__pycache__"
    with contextlib.suppress(OSError):
        name = f"native-{_digest(sources, [compiler, *command[1:]])}"
        for path in sorted(kept.glob(f"{name}-*.so")):
            if path.stem == f"{name}-{_content(path)}":  # opening one that is cut short would end the process
                return ctypes.CDLL(str(path))
        return _made([compiler, *command[1:]], sources, threads, kept, name)
    return None


def _made(command: Sequence[str], sources: Sequence[Path], threads: Path, kept: Path, name: str) -> ctypes.CDLL | None:
    """Compiled where it will be kept or, where nothing can be written there, for this process alone."""
    with contextlib.suppress(OSError):
        kept.mkdir(exist_ok=True)
    for place in (kept, None):
        with contextlib.suppress(OSError, subprocess.SubprocessError), tempfile.TemporaryDirectory(dir=place) as folder:
            made = Path(folder) / "made.so"
            _run([*command, *COMPILED, *map(str, sources)], folder)
            _run([*command, *LINKED, *(f"{source.stem}.o" for source in sources), str(threads), "-lm", "-o", made.name], folder)
            library = ctypes.CDLL(str(made))
            if place is not None:
                _keep(made, place, name)
            return library
    return None


def _keep(made: Path, place: Path, name: str) -> None:
    """Whole or not at all: another process may look for it, or make it, meanwhile."""
    with contextlib.suppress(OSError):
        with made.open("rb+") as file:
            os.fsync(file.fileno())
        made.replace(place / f"{name}-{_content(made)}.so")


def _run(command: Sequence[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS)


def _threads_of_torch() -> Path | None:
    """The OpenMP of GCC that PyTorch brought along: two pools of threads would spin against each other."""
    return next(iter(sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))), None)


def _digest(sources: Sequence[Path], command: Sequence[str]) -> str:
    compiler = Path(command[0]).stat()
    facts = [
        *(source.read_text(encoding="utf-8") for source in sources),
        *command,
        *COMPILED,
        *LINKED,
        torch.__version__,
        platform.machine(),
    ]
    facts += [str(compiler.st_size), str(compiler.st_mtime_ns)]
    if CPUINFO.exists():  # a folder may be shared by machines, and none survives an instruction that it has not
        facts += sorted({line for line in CPUINFO.read_text().splitlines() if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
