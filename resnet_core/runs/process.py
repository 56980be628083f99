"""Is that process still there, and is it still the same one? Process ids are given again, so its start time counts too."""

import contextlib
import os
import socket
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]  # where a process of ours is started, so that `python -m resnet_core` is found


@dataclass(frozen=True, kw_only=True)
class ProcessMark:
    """A process on a host. `start` is in the system's own units and only compared for equality; None where it cannot be known."""

    host: str
    pid: int
    start: float | None


def this_process() -> ProcessMark:
    return ProcessMark(host=socket.gethostname(), pid=os.getpid(), start=start_time(os.getpid()))


def parent_process() -> ProcessMark:
    return ProcessMark(host=socket.gethostname(), pid=os.getppid(), start=start_time(os.getppid()))


def start_time(pid: int) -> float | None:
    """Of a running process; None where there is none, it has ended (a zombie), or the system does not say."""
    return _start_time_linux(pid) if Path("/proc/self/stat").exists() else _start_time_ps(pid)


def _start_time_linux(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else float(fields[19])


def _start_time_ps(pid: int) -> float | None:
    """macOS and the BSDs."""
    try:
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return float(zlib.crc32(shown.strip().encode())) if shown.strip() else None


def step_back(level: int) -> None:
    """Leave the processor to others that want it, down to this nice level and never below what this process was started with.

    Linux weighs sessions against each other first (autogroups), and a run has a session of its own: its nice level alone would change nothing.
    """
    os.nice(max(level - os.nice(0), 0))
    with contextlib.suppress(OSError):  # another system, or a kernel without autogroups
        Path("/proc/self/autogroup").write_text(str(level))


def is_alive(mark: ProcessMark) -> bool:
    """Only meaningful on the mark's own host."""
    return start_time(mark.pid) == mark.start is not None
