"""The plan of the house, held against the house: who may import whom, what importing costs, and docs/architecture.md."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {"resnet_core": 0, "dashboard": 1, "pages": 2, "app": 3}  # each may import what is below it, and itself
SCREEN = {"streamlit", "streamlit_drawable_canvas"}
DRAWING = {"plotly", "altair"}
HEAVY = {"torch", "torchvision", "numpy", "sqlite3", "captum"}  # no arithmetic, no tensors, no SQL on a page
CANVAS = "dashboard/sketch_input.py"
PLAN = ROOT / "docs" / "architecture.md"


def code() -> list[Path]:
    return [ROOT / "app.py", *(file for layer in ("pages", "dashboard", "resnet_core") for file in sorted((ROOT / layer).rglob("*.py")))]


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def layer_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Top-level names of everything imported anywhere in the file, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a path says where a thing lives"
            yield str(node.module).split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("__import__", "import_module") and node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value).split(".")[0]


def imports_of(file: Path) -> set[str]:
    return set(imported(file.read_text(encoding="utf-8")))


def test_the_reader_of_imports_sees_every_kind() -> None:
    source = "import a.b, c\nfrom d.e import f\ndef g():\n    import h\nimportlib.import_module('i.j')\n__import__('k')\n"
    assert set(imported(source)) == set("acdhik")


@pytest.mark.parametrize("file", code(), ids=name_of)
def test_imports_run_one_way(file: Path) -> None:
    found = imports_of(file)
    own = LAYERS[layer_of(file)]
    upward = {name for name in found if LAYERS.get(name, -1) > own}
    assert not upward, "app.py -> pages -> dashboard -> resnet_core"
    if layer_of(file) == "resnet_core":
        assert not found & (SCREEN | DRAWING)
    if layer_of(file) == "pages":
        assert not found & HEAVY
    if name_of(file) != CANVAS:
        assert "streamlit_drawable_canvas" not in found
    assert "tests" not in found


def test_every_package_says_what_it_is() -> None:
    for file in code():
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), name_of(file)


# -- what importing costs ----------------------------------------------------------------------------------------------------------------


def python(script: str) -> str:
    """What a fresh interpreter in an empty environment prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_starts_without_torch() -> None:
    loaded = python("import sys, resnet_core.cli\nprint(*sorted({name.split('.')[0] for name in sys.modules}))").split()
    assert "resnet_core" in loaded
    assert not {"torch", "torchvision", "streamlit", "plotly", "captum"} & set(loaded)


IMPORT_ALL = """
import importlib, os, pathlib, pkgutil, socket, sys

def refuse(*arguments, **options):
    raise AssertionError("an import wants the network")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
before = {path for path in pathlib.Path(os.environ["EMPTY"]).rglob("*")}
import resnet_core
for module in pkgutil.walk_packages(resnet_core.__path__, "resnet_core."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert {path for path in pathlib.Path(os.environ["EMPTY"]).rglob("*")} == before, "an import wrote files"
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.slow
def test_importing_the_core_downloads_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module of it; and what it pulls in is neither streamlit nor a chart library."""
    for name in ("HOME", "EMPTY"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("RESNET_RUNS", "RESNET_DATA", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    loaded = set(python(IMPORT_ALL).split())
    assert "torch" in loaded
    assert not loaded & (SCREEN | DRAWING)


# -- the plan as it is written down ------------------------------------------------------------------------------------------------------


def tree_of(text: str) -> list[str]:
    """Paths in the first block of code: a line is a path or several, then what it is; two spaces deeper is inside."""
    block = re.search(r"```\w*\n(.*?)```", text, re.DOTALL)
    assert block, "the plan begins with its tree"
    paths: list[str] = []
    above: dict[int, str] = {}
    for line in block[1].splitlines():
        words = re.match(r"( *)((?:[\w./-]+(?:/|\.[a-z]+)\s{1,2})+|[\w./-]+(?:/|\.[a-z]+)$)", line + " ")
        if words is None:
            continue
        depth = len(words[1])
        above = {other: path for other, path in above.items() if other < depth}
        parent = above[max(above)] if above else ""
        for word in words[2].split():
            paths.append(f"{parent}{word}")
            if word.endswith("/"):
                above[depth] = f"{parent}{word}"
    return paths


def test_the_reader_of_trees() -> None:
    text = "# Plan\n```\napp.py     the table; nothing else\npages/   one screen\ncore/  it\n  a.py\n  b/     c, d.py\n    e.py  f.py   two\nend/     x\n```\n"
    assert tree_of(text) == ["app.py", "pages/", "core/", "core/a.py", "core/b/", "core/b/e.py", "core/b/f.py", "end/"]


def test_the_plan_is_the_tree() -> None:
    paths = tree_of(PLAN.read_text(encoding="utf-8"))
    gone = [path for path in paths if not (ROOT / path).exists()]
    assert not gone, "named in docs/architecture.md and not there"
    packages = {f"{file.parent.relative_to(ROOT).as_posix()}/" for file in code() if file.name == "__init__.py"} | {"pages/", "app.py"}
    modules = {
        name_of(file) for layer in ("dashboard", "resnet_core") for file in (ROOT / layer).glob("*.py") if not file.name.startswith("__")
    }
    missing = sorted((packages | modules) - set(paths))
    assert not missing, "there and not named in docs/architecture.md"
