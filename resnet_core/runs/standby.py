"""A process that has imported PyTorch before anybody pressed Start: a training begins with it several seconds sooner.

It waits for one line on its standard input. Without one it ends with whoever started it, or after ten minutes. Code of our own is imported
when the line has come, so a process that waited trains as any other would.
"""

import json
import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resnet_core.runs.process import PROJECT

OURS = [sys.executable, "-m", "resnet_core"]  # what it can become
SECONDS = 600.0  # that it waits; whoever has pressed nothing by then has probably left
MARGIN = 30.0  # so many seconds before its end it is given nothing any more
SWITCH = "RESNET_STANDBY"  # 0 where no 370 MB can be spared for a process that waits


@dataclass(frozen=True, kw_only=True)
class _Standby:
    process: "subprocess.Popen[bytes]"
    environment: Mapping[str, str]  # some of it is read when torch is imported
    began: float

    def fits(self, environment: Mapping[str, str]) -> bool:
        return self.process.poll() is None and self.environment == environment and time.monotonic() - self.began < SECONDS - MARGIN

    def end(self) -> None:
        """At once, though it may still be importing, and waited for, so that the system forgets it."""
        self.process.kill()
        with suppress(OSError):  # orders that nobody read any more
            self.process.communicate()


_lock = threading.Lock()  # sessions of a server are threads
_waiting: _Standby | None = None


def stand_by() -> None:
    """Have a process at hand for a training that may begin soon; at once where there is one."""
    global _waiting
    if os.environ.get(SWITCH) == "0":
        return
    with _lock:
        environment = dict(os.environ)
        if _waiting is not None:
            if _waiting.fits(environment):
                return
            _waiting.end()
        command = [sys.executable, "-u", "-m", "resnet_core.runs.standby", str(SECONDS)]  # unbuffered, as trainings are
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=PROJECT, start_new_session=True
            )
        except OSError:  # no room for one more process; a training that cannot start will say so
            _waiting = None
        else:
            _waiting = _Standby(process=process, environment=environment, began=time.monotonic())


def take(command: Sequence[str], environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes] | None":
    """Let the waiting process run `python -m resnet_core ...` with this environment, its words appended to `log`.

    None where none waits, or the command is of another program.
    """
    global _waiting
    if list(command[:3]) != OURS:
        return None
    with _lock:
        found, _waiting = _waiting, None
    if found is None:
        return None
    if not found.fits(dict(os.environ)):
        found.end()
        return None
    orders = {"arguments": list(command[3:]), "environment": dict(environment), "log": str(log.absolute())}
    assert found.process.stdin is not None
    try:
        found.process.stdin.write(json.dumps(orders).encode() + b"\n")
        found.process.stdin.close()
    except OSError:  # it has just ended
        found.end()
        return None
    return found.process


def _wait(seconds: float) -> None:
    import torch._dynamo  # noqa: F401 - torch's optimizers import it at their first step: two seconds more

    end = threading.Timer(seconds, os._exit, (0,))
    end.daemon = True
    end.start()
    line = sys.stdin.readline()
    end.cancel()
    if not line:
        return
    orders = json.loads(line)
    os.environ.clear()
    os.environ.update(orders["environment"])
    log = os.open(orders["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for opened, places in ((log, (1, 2)), (nothing, (0,))):
        for place in places:
            os.dup2(opened, place)
        os.close(opened)
    sys.argv[1:] = orders["arguments"]
    runpy.run_module("resnet_core", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _wait(float(sys.argv[1]))
