"""What a server need not keep is given back, and what it need not look through is left alone."""

import gc
import subprocess
import sys
import types
import weakref

import pytest
import torch

from dashboard.memory import set_libraries_apart

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


def test_libraries_are_set_apart_after_imports_and_garbage_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Circle:
        def __init__(self) -> None:
            self.itself = self

    monkeypatch.setattr("dashboard.memory._modules", 0)
    set_libraries_apart()
    apart = gc.get_freeze_count()
    assert apart > 100_000
    kept = [Circle() for _ in range(1000)]
    found = weakref.ref(kept[0])
    set_libraries_apart()
    assert gc.get_freeze_count() <= apart, "nothing was imported"
    del kept
    gc.collect()
    assert found() is None

    kept = [Circle() for _ in range(1000)]
    for number in range(10_000):  # more than were ever imported
        monkeypatch.setitem(sys.modules, f"imported_{number}", types.ModuleType("imported"))
    set_libraries_apart()
    assert gc.get_freeze_count() > apart
    del kept
