"""The compiler of the machine: there, not there, broken, and with a result that is damaged or wrong."""

import ctypes
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_core.training import native
from resnet_core.training.native import compiling, norm_relu
from resnet_core.training.native.library import SOURCES, declared

pytestmark = pytest.mark.skipif(not native.available(), reason="needs Linux and a C compiler")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ...]:
    """A folder of one's own with the kernels, which are compiled in a hurry."""
    monkeypatch.setattr(compiling, "COMPILED", ("-O0", *compiling.COMPILED[1:]))
    folder = tmp_path / "native"
    folder.mkdir()
    return tuple(Path(shutil.copy(source, folder)) for source in SOURCES)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The compiler, with a line in this file for each call."""
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("CC", script(tmp_path / "cc", f'echo called >> {calls}\nexec {shutil.which("cc")} "$@"'))
    return calls


def called(calls: Path) -> int:
    return len(calls.read_text().splitlines())


def test_what_was_compiled_is_kept(sources: tuple[Path, ...], counted: Path) -> None:
    assert compiling.load(sources) is not None
    kept = sources[0].parent / "__pycache__"
    assert [path.suffix for path in kept.iterdir()] == [".so"]
    assert compiling.load(sources) is not None
    assert called(counted) == 2, "to compile and to link"
    sources[0].write_text(sources[0].read_text() + "\n")
    assert compiling.load(sources) is not None
    assert called(counted) == 4, "another source is another library"


@pytest.mark.parametrize("left", [0, 0.3, 0.9, "zeros"])
def test_a_damaged_one_is_made_anew(sources: tuple[Path, ...], counted: Path, left: float | str) -> None:
    """Opening one that is cut short would end the process."""
    assert compiling.load(sources) is not None
    (kept,) = (sources[0].parent / "__pycache__").iterdir()
    content = kept.read_bytes()
    kept.unlink()  # this process has it open
    kept.write_bytes(content[:4096] + bytes(len(content) - 4096) if left == "zeros" else content[: int(len(content) * float(left))])
    assert compiling.load(sources) is not None
    assert called(counted) == 4
    assert kept.read_bytes() == content
    assert ctypes.CDLL(str(kept)).row_width


def test_a_checkout_that_cannot_be_written_to_does_without_keeping(sources: tuple[Path, ...], counted: Path) -> None:
    folder = sources[0].parent / "__pycache__"
    folder.write_text("a file where a folder would be: not even root can write into it")
    assert compiling.load(sources) is not None
    assert called(counted) == 2
    assert folder.is_file()


@pytest.mark.parametrize("what", ["no compiler", "it fails", "it takes for ever", "it makes nothing", "what it makes is nothing"])
def test_without_a_library_there_is_none(sources: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    texts = {"it fails": "exit 1", "it takes for ever": "sleep 60", "it makes nothing": "exit 0"}
    last = 'for last; do :; done; echo none > "$last"'
    monkeypatch.setenv("CC", "/no/such/compiler" if what == "no compiler" else script(tmp_path / "cc", texts.get(what, last)))
    monkeypatch.setattr(compiling, "SECONDS", 0.5)
    assert compiling.load(sources) is None
    assert not [path for path in sources[0].parent.rglob("*.so") if path.is_file()]


def test_a_compiler_may_have_options(sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc -pipe")
    assert compiling.load(sources) is not None


def test_another_openmp_does_not_link(sources: tuple[Path, ...], counted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with Clang, whose calls GCC's does not have."""
    with sources[0].open("a") as file:
        file.write("\nvoid __kmpc_fork_call(void);\nvoid forks(void) { __kmpc_fork_call(); }\n")
    assert compiling.load(sources) is None


def test_where_pytorch_brings_no_threads_along_there_is_none(sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_threads_of_torch", lambda: None)
    assert compiling.load(sources) is None


def test_one_pool_of_threads() -> None:
    """A second one would spin against the first. In a process of its own: other libraries bring theirs along."""
    script = "from resnet_core.training.native import available; assert available(); print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100).stdout
    assert (
        len(
            {
                os.path.realpath(line.split()[-1])
                for line in maps.splitlines()
                if any(name in line for name in ("libgomp", "libomp", "libiomp"))
            }
        )
        == 1
    )


@pytest.mark.parametrize(("right", "wrong"), [("* scale[v] + shift[v];", "* scale[v] - shift[v];"), ("d * scale[v] +", "d * scale[v] -")])
def test_kernels_that_err_are_not_used(sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, right: str, wrong: str) -> None:
    text = sources[0].read_text()
    assert right in text
    sources[0].write_text(text.replace(right, wrong))
    bad = declared(compiling.load(sources))
    for module in (native, norm_relu):
        monkeypatch.setattr(module, "library", lambda: bad)
    assert not native.available.__wrapped__()
