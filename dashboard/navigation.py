"""The table of pages: what the frame, links and deep links know of them."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.i18n import t

PAGES = Path(__file__).parent.parent / "pages"


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A page. `name` is its path in links, its file under pages/ and its section in the locales; the first page's path is empty.

    File and path are one word, since a fresh server finds a deep link by the name of the file alone.
    """

    name: str
    icon: str

    @property
    def file(self) -> Path:
        return PAGES / f"{self.name}.py"

    @property
    def section(self) -> str:
        return self.name.replace("-", "_")


SCREENS = {
    screen.name: screen
    for screen in (
        Screen(name="home", icon=":material/home:"),
        Screen(name="train", icon=":material/model_training:"),
        Screen(name="residual-blocks", icon=":material/join_right:"),
        Screen(name="gradients", icon=":material/trending_down:"),
        Screen(name="compare", icon=":material/compare:"),
        Screen(name="sketch", icon=":material/draw:"),
        Screen(name="architectures", icon=":material/account_tree:"),
        Screen(name="runs", icon=":material/list_alt:"),
    )
    if screen.file.exists()
}


def pages() -> list[st.Page]:
    """One st.Page per screen, titled in the reader's language."""
    return [
        st.Page(
            screen.file,
            title=t(f"page.{screen.section}.title"),
            icon=screen.icon,
            url_path="" if screen.name == "home" else screen.name,
            default=screen.name == "home",
            help=t(f"page.{screen.section}.lead"),
        )
        for screen in SCREENS.values()
    ]


def link_to(name: str, *, label: str | None = None) -> None:
    """A link to another page; the selection goes along. Draws nothing for a page that this version lacks."""
    if screen := SCREENS.get(name):
        st.page_link(screen.file, label=label or t(f"page.{screen.section}.title"), icon=screen.icon)
