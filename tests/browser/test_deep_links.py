"""Every page by its own link, as the first thing a new server is asked for."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from dashboard.components.panels import SCROLLS
from dashboard.i18n import sentences
from dashboard.navigation import SCREENS
from tests.browser.conftest import PATIENCE, Server

FIRST = ("residual-blocks",)  # the others take the same way; each needs a server of its own


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in FIRST else pytest.mark.long) for name in SCREENS])
def test_a_deep_link_opens_its_page_on_a_fresh_server(fresh_server: Callable[[], Server], new_page: Callable[..., Page], name: str) -> None:
    link = fresh_server().link("" if name == "home" else name)
    for language in ("zh", "en"):  # the second visitor comes to a server that knows its pages
        page = new_page(language)
        page.goto(link)
        if (name, language) == ("home", "zh"):  # app.py itself runs first, and the first visitor is told what takes time
            expect(page.get_by_text(sentences(language)["frame.starting"])).to_be_visible()
        assert_shows(page, name, language)
        expect(page.get_by_text(sentences(language)["frame.starting"])).to_have_count(0)


def assert_shows(page: Page, name: str, language: str) -> None:
    """The page under its title, the frame around it, and nothing that went wrong."""
    words = sentences(language)
    titles = {screen.name: words[f"page.{screen.section}.title"] for screen in SCREENS.values()}
    expect(page.get_by_role("heading", level=1, name=titles[name], exact=True)).to_be_visible()
    expect(page).to_have_title(f"{titles[name]} · Residual Lens")
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_text(words["frame.unexpected"])).to_have_count(0)
    for title in titles.values():
        expect(page.get_by_role("link", name=title, exact=True).first).to_be_visible()


def test_the_language_of_a_link_goes_before_the_browser_s(server: Server, page: Page) -> None:
    page.goto(server.link(lang="zh"))
    expect(page.get_by_role("heading", level=1, name=sentences("zh")["page.home.title"], exact=True)).to_be_visible()
    languages = page.locator(".st-key-language [role=radio]")
    expect(languages).to_have_count(2)
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    colors = languages.evaluate_all("buttons => buttons.map(button => getComputedStyle(button).color)")
    assert len(set(colors)) == 1, "the chosen one is as clear as the other"
    page.locator(".st-key-language").get_by_text("English").click()
    expect(page.get_by_role("heading", level=1, name=sentences("en")["page.home.title"], exact=True)).to_be_visible()
    expect(page).to_have_url(server.link(lang="en"))


def test_a_link_to_a_panel_leads_to_it(server: Server, page: Page) -> None:
    """It lies below the first screen; without one in the link the page begins at its top."""
    control = page.locator(".st-key-gradient_further")
    page.goto(server.link("gradients", run="resnet20-mnist"))
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE * 1000)
    expect(control).not_to_be_in_viewport()
    page.goto(server.link("gradients", run="resnet20-mnist", panel="paths"))
    expect(control).to_be_in_viewport(timeout=PATIENCE * 1000)
    page.wait_for_timeout(SCROLLS)
    expect(control).to_be_in_viewport()
    expect(page.locator(".st-key-paths_network")).to_be_in_viewport()  # what it holds, not its edge alone
