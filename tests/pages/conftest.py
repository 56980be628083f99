"""Pages without a browser: Streamlit's AppTest, from app.py, in both languages."""

import functools
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import ScriptRunnerEvent
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.local_script_runner import LocalScriptRunner

from dashboard.components import vega
from dashboard.i18n import LANGUAGES, sentences
from dashboard.state import LANGUAGE

ROOT = Path(__file__).parents[2]
OpenPage = Callable[..., AppTest]


@pytest.hookimpl(tryfirst=True)  # before tests marked long are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for `language` runs in one of them, drawn from its name; in the other one it is marked long."""
    for item in items:
        if isinstance(item, pytest.Function) and Path(__file__).parent in item.path.parents and "language" in item.fixturenames:
            usual = list(LANGUAGES)[zlib.crc32(item.originalname.encode()) % len(LANGUAGES)]
            if item.callspec.params["language"] != usual:
                item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def fresh_caches() -> None:
    """What one test cached no other test sees."""
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def main_of_its_own() -> Iterator[None]:
    """AppTest makes the app the program that runs, and a process that a later test spawns would begin with it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


class KnownPages(PagesManager):
    """Streamlit's AppTest forgets before each run that the app has called st.navigation, and would run files of pages/ without app.py."""


@pytest.fixture(autouse=True)
def server_that_knows_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a real server does after its first visitor: every page is started by app.py."""
    monkeypatch.setattr(PagesManager, "uses_pages_directory", False)
    monkeypatch.setattr("streamlit.testing.v1.app_test.PagesManager", KnownPages)


components_found_once = functools.cache(manifest_scanner.scan_component_manifests)


@pytest.fixture(autouse=True)
def server_that_knows_its_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real server looks through all installed packages once, at its start; every AppTest would anew, half a second each."""
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", components_found_once)


@pytest.fixture(autouse=True)
def runs_that_are_not_watched_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest asks a thousand times a second whether any event of a run was its last, and the page waits for the interpreter meanwhile."""
    last = ScriptRunnerEvent.SHUTDOWN
    monkeypatch.setattr(LocalScriptRunner, "script_stopped", lambda runner: bool(runner.events) and runner.events[-1] == last)


@pytest.fixture(autouse=True)
def trainings_of_a_known_speed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train tries a few steps of every network whose speed it does not know, a second of each test that opens it; `real_speeds` lets it."""
    if "real_speeds" not in request.fixturenames:
        monkeypatch.setattr("dashboard.components.training.form.guessed_speed", lambda model, shape, classes, cores: 100.0)


@pytest.fixture
def real_speeds() -> None:
    """For a test that wants the page to try."""


charts_checked: set[str | None] = set()


@pytest.fixture(autouse=True)
def charts_that_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages leave out the check against Vega-Lite's schema; here each has it the first time that a process of tests shows one of its key."""

    def checked(chart: vega.Chart, key: str | None) -> vega.Chart:
        if key is not None and key in charts_checked:
            return unchecked(chart, key)
        charts_checked.add(key)
        return chart

    unchecked = vega._unchecked
    monkeypatch.setattr(vega, "_unchecked", checked)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both, one after the other. AppTest asks widgets for their words outside the app, where no session says which language it is."""
    monkeypatch.setattr("dashboard.i18n.current_language", lambda: st.session_state.get(LANGUAGE) or request.param)
    return str(request.param)


@pytest.fixture
def open_page() -> OpenPage:
    """`open_page("train", language="zh", run="resnet20-mnist")`: the page as a link with these parameters opens it."""

    def open_(name: str = "home", *, language: str = "en", **parameters: str) -> AppTest:
        app = AppTest.from_file(os.fspath(ROOT / "app.py"), default_timeout=30)
        app.context = {"locale": {"en": "en-US", "zh": "zh-CN"}[language]}
        if name != "home":
            app.switch_page(f"pages/{name}.py")  # before the first run: a switch after it would empty the widgets that pages share
        app.query_params.update(parameters)
        return app.run()

    return open_


def assert_healthy(app: AppTest) -> None:
    """No exception, neither shown nor turned into the frame's sentence."""
    assert not app.exception
    unexpected = {sentences(code)["frame.unexpected"] for code in LANGUAGES}
    assert not [error.value for error in app.error if error.value in unexpected]


@pytest.fixture
def shipped(tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of checkpoints/, and no runs."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr("resnet_core.runs.opening.SHIPPED", folder)
    return folder
