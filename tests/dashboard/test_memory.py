"""What a server need not keep is given back."""

import gc
import subprocess
import sys
import time
import weakref
from unittest.mock import Mock

import pytest
import torch

from dashboard import memory

SCRIPT = """
import re, torch
from dashboard.memory import return_unused_pages

def resident(kind):
    return int(re.search(rf"{kind}:\\s+(\\d+)", open("/proc/self/status").read())[1])

before, own = resident("RssFile"), resident("RssAnon")
offered = return_unused_pages()
after, still_own = resident("RssFile"), resident("RssAnon")
layer = torch.nn.Conv2d(1, 4, 3)
layer(torch.randn(2, 1, 9, 9)).sum().backward()
print(offered, before - after, own - still_own, bool(torch.isfinite(layer.weight.grad).all()), return_unused_pages() == offered)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another system keeps its maps elsewhere")
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the libraries are in use")
def test_code_that_never_runs_is_given_back_and_nothing_breaks() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout.split()
    offered, less, own, works, once = int(found[0]), int(found[1]), int(found[2]), found[3], found[4]
    assert (works, once) == ("True", "True")
    assert abs(own) < 2048  # kB: no page that this process wrote to
    if torch.version.cuda is None:
        assert offered == 0
    else:
        assert offered > 0
        assert less > 50_000  # kB


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_collected_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", Mock(side_effect=gc.collect))
    monkeypatch.setattr(memory, "_collected", time.monotonic() - memory.GARBAGE_SECONDS)
    circle = Circle()
    found = weakref.ref(circle)
    del circle
    memory.collect_garbage()
    assert found() is None
    memory.collect_garbage()
    assert gc.collect.call_count == 1
