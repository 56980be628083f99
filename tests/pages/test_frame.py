"""The frame: titles, languages, and the selection in the link."""

import gc
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.i18n import sentences
from dashboard.navigation import PAGES, SCREENS
from dashboard.state import ImageChoice
from tests.pages.conftest import OpenPage, assert_healthy


@pytest.mark.parametrize("name", SCREENS)
def test_every_page_opens_in_both_languages(open_page: OpenPage, name: str, language: str) -> None:
    app = open_page(name, language=language)
    assert_healthy(app)
    assert app.title[0].value == sentences(language)[f"page.{SCREENS[name].section}.title"]


def test_no_run_of_a_page_searches_all_libraries_for_garbage(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.memory._collected", time.monotonic())
    searched = Mock()
    monkeypatch.setattr(gc, "collect", searched)
    assert_healthy(open_page())
    assert not searched.called


def test_every_file_of_pages_is_in_the_table() -> None:
    assert {file.stem for file in PAGES.glob("*.py")} == set(SCREENS)


def test_the_link_s_language_goes_before_the_browser_s(open_page: OpenPage) -> None:
    app = open_page(language="en", lang="zh")
    assert app.title[0].value == "首页"


def test_an_unknown_language_is_the_browser_s(open_page: OpenPage) -> None:
    app = open_page(language="zh", lang="tlh")
    assert app.title[0].value == "首页"


def test_the_switch_changes_the_language_and_the_link(open_page: OpenPage) -> None:
    app = open_page(language="en")
    app.segmented_control(key="language").set_value("zh").run()
    assert app.title[0].value == "首页"
    assert app.query_params["lang"] == "zh"
    app.segmented_control(key="language").set_value("en").run()
    assert app.title[0].value == "Home"
    assert app.query_params["lang"] == "en"


def test_the_selection_of_a_link_is_kept(open_page: OpenPage) -> None:
    app = open_page(run="resnet20-mnist", image="mnist-mini:test:12", block="stages.1.0")
    assert_healthy(app)
    assert app.session_state["selected_run"] == "resnet20-mnist"
    assert app.session_state["selected_image"] == "mnist-mini:test:12"
    assert app.session_state["selected_block"] == "stages.1.0"


def test_a_page_started_without_the_frame_starts_the_frame(tmp_path: Path) -> None:
    """As a deep link does on a fresh server: the page's own file runs first."""
    app = AppTest.from_file(str(PAGES / "home.py"), default_timeout=30).run()
    assert_healthy(app)
    assert app.title[0].value == "Home"


@pytest.mark.parametrize("index", ["\u00b2", "9" * 5000, "-1", "", "1.5"])
def test_a_mistyped_image_in_a_link_is_none(index: str) -> None:
    assert ImageChoice.parse(f"mnist-mini:test:{index}") is None
    assert ImageChoice.parse("image-folder:/a:b:test:12") == ImageChoice(dataset="image-folder:/a:b", split="test", index=12)
