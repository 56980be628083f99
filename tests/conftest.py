"""Before anything is imported: a session of tests keeps its runs and data to itself and leaves the machine's cores to others."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; there are several processes of tests
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"  # servers of the tests' own
os.environ.setdefault("MPLBACKEND", "Agg")  # captum imports pyplot, which must not look for a screen
os.environ["RESNET_STANDBY"] = "0"  # no process that waits for a Start which most tests of the page never press
_own = tempfile.TemporaryDirectory(prefix="residual-lens-tests-")
# A machine's own data sets, for tests that measure on them; a process of pytest-xdist inherits what its parent has put into RESNET_DATA.
FULL_DATA = os.environ.setdefault("RESIDUAL_LENS_FULL_DATA", os.environ.get("RESNET_DATA", ""))
os.environ["RESNET_RUNS"] = f"{_own.name}/runs"
os.environ["RESNET_DATA"] = f"{_own.name}/data"


@pytest.fixture(scope="session")
def full_data() -> Path:
    """The machine's own data folder; tests that need it are skipped where RESNET_DATA names none."""
    if not FULL_DATA:
        pytest.skip("RESNET_DATA names no folder with full data sets")
    return Path(FULL_DATA)


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty runs folder for one test."""
    monkeypatch.setenv("RESNET_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def pytest_sessionfinish() -> None:
    _own.cleanup()
