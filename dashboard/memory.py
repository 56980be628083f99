"""What a server keeps or does that it need not: freed blocks, libraries that never run, a search for garbage after every click.

On a machine without a GPU, a torch that was built for one maps CUDA libraries that never run: their code goes back to the system.

Some 95 MB of a server's 735. Nothing is unloaded: code that is asked for after all is read from its file again.
"""

import contextlib
import ctypes
import gc
import re
import time
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

MAPS = Path("/proc/self/maps")
DONT_NEED = 4  # MADV_DONTNEED, on code alone: its pages hold nothing that is not in the file
CODE = "r-xp"
GARBAGE_SECONDS = 60.0  # between two searches
CUDA_LIBRARY = re.compile(r"/(nvidia|cuda\w*)/|libtorch_cuda|lib(cu|nv)\w+\.so")

P = ParamSpec("P")
R = TypeVar("R")


def tidied(measure: Callable[P, R]) -> Callable[P, R]:
    """After the measurement, freed blocks go back to the system: glibc keeps them, and a server's 750 MB would stay 750 MB."""

    @wraps(measure)
    def measured(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return measure(*args, **kwargs)
        finally:
            with contextlib.suppress(AttributeError):  # another C library
                ctypes.CDLL(None).malloc_trim(0)

    return measured


@cache
def return_unused_pages() -> int:
    """Once per process; the bytes of address space given back, 0 where there is nothing to give (a GPU, another system)."""
    import torch  # here: app.py imports this file before it says that torch is being loaded

    if torch.cuda.is_available() or not MAPS.exists():
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    offered = 0
    for line in MAPS.read_text().splitlines():
        place, rights, *_, file = f"{line} ".split(" ", 5)
        if rights == CODE and CUDA_LIBRARY.search(file):
            start, end = (int(number, 16) for number in place.split("-"))
            if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), DONT_NEED) == 0:
                offered += end - start
    return offered


_collected = time.monotonic()


def collect_garbage() -> None:
    """Once a minute at most, after a page.

    Streamlit would after every run of a page or fragment (`runner.postScriptGC`, off in .streamlit/config.toml): among the 450,000 objects
    of libraries that takes 0.4 s of one core, once a second beside a training.
    """
    global _collected
    if time.monotonic() - _collected >= GARBAGE_SECONDS:
        _collected = time.monotonic()
        gc.collect()
