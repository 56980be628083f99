"""C for this very processor, made by the compiler that the machine has; without one, or where anything is amiss, there is none.

The library is kept in `__pycache__` beside its sources, under a name that tells of sources, compiler, processor and PyTorch.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

FLAGS = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-Wl,--as-needed")
CPUINFO = Path("/proc/cpuinfo")
SECONDS = 60


def load(sources: Sequence[Path]) -> ctypes.CDLL | None:
    """The library of these C files of one folder, compiled where it has not been yet; None where that is impossible."""
    compiler, threads = shutil.which(os.environ.get("CC", "cc")), _threads_of_torch()
    if sys.platform != "linux" or compiler is None or threads is None:
        return None
    kept = sources[0].parent / "__pycache__" / f"native-{_digest(sources, compiler)}.so"
    with contextlib.suppress(OSError):  # none yet, or a damaged one
        return ctypes.CDLL(str(kept))
    with contextlib.suppress(OSError, subprocess.SubprocessError), tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / kept.name
        command = [compiler, *FLAGS, *map(str, sources), str(threads), "-lm", "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS)
        library = ctypes.CDLL(str(made))
        _keep(made, kept)
        return library
    return None


def _keep(made: Path, kept: Path) -> None:
    """Whole or not at all: another process may look for it, or make it, meanwhile."""
    with contextlib.suppress(OSError):  # a checkout that cannot be written to
        kept.parent.mkdir(exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}")
        shutil.copy(made, beside)
        beside.replace(kept)


def _threads_of_torch() -> Path | None:
    """The OpenMP of GCC that PyTorch brought along: two pools of threads would spin against each other."""
    return next(iter(sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))), None)


def _digest(sources: Sequence[Path], compiler: str) -> str:
    facts = [*(source.read_text(encoding="utf-8") for source in sources), compiler, torch.__version__, platform.machine(), *FLAGS]
    if CPUINFO.exists():  # a folder may be shared by machines, and none survives an instruction that it has not
        facts += sorted({line for line in CPUINFO.read_text().splitlines() if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
