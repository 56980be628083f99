"""What runs before a page: the frame once per run, and the same for a page that a deep link starts without app.py."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import streamlit as st

from dashboard.i18n import LANGUAGES, error_text, language_of_browser, t
from dashboard.navigation import PAGES, SCREENS, pages
from dashboard.state import FRAME, LANGUAGE, LANGUAGE_SWITCH, follow_link, write_language
from resnet_core.errors import UserError

ASSETS = PAGES.parent / "dashboard" / "assets"
HEAVY = ("torch", "plotly.graph_objects", "altair")
_loaded: list[str] = []  # of them, in this server; while they are being imported they stand in sys.modules already
ICON, LOGO, CHOICES = ASSETS / "icon.svg", ASSETS / "logo.svg", ASSETS / "choices.css"


def draw_frame() -> st.Page:
    """Language, link, navigation, titles of the window; returns the page to run. For app.py."""
    st.session_state[FRAME] = True
    _settle_language()
    follow_link()
    page = _navigation()
    st.set_page_config(page_title=f"{page.title} · Residual Lens")
    st.logo(LOGO, size="large")
    st.html(CHOICES)
    _load_libraries()
    return page


def bootstrap(name: str) -> None:
    """First line of every page: its title, its lead, the switch of languages.

    A server that has not run `st.navigation` yet takes the files of pages/ for the pages, so a deep link starts a page
    without app.py. Registering the pages mends that for good, and app.py is started instead.
    """
    if not st.session_state.get(FRAME):
        st.session_state[FRAME] = True
        _settle_language()
        _navigation()
        st.rerun()
    section = SCREENS[name].section
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title(t(f"page.{section}.title"), anchor=False)
        _language_switch()
    st.caption(t(f"page.{section}.lead"))


def _load_libraries() -> None:
    """What every page imports before its first line: visitors of a new server are told why that takes some seconds.

    A page that a deep link starts before app.py has imported it by itself.
    """
    if not _loaded:
        with guarded(), st.spinner(t("frame.starting"), show_time=True):
            for library in HEAVY:
                import_module(library)
            _loaded.extend(HEAVY)


def _navigation() -> st.Page:
    # The icon is set first: a page's own would be fetched from the network for the window's title bar.
    st.set_page_config(page_title="Residual Lens", page_icon=ICON, layout="wide")
    return st.navigation(pages(), position="top")


def _language_switch() -> None:
    st.session_state[LANGUAGE_SWITCH] = st.session_state[LANGUAGE]
    st.segmented_control(
        t("frame.language"),
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        required=True,
        key=LANGUAGE_SWITCH,
        on_change=_chosen_in_frame,
        label_visibility="collapsed",
    )


@contextmanager
def guarded() -> Iterator[None]:
    """The border of a page (and of each fragment): what goes wrong inside becomes one sentence, the trace goes to the log."""
    try:
        yield
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
    except Exception:
        logging.getLogger(__name__).exception("a page failed")
        st.error(t("frame.unexpected"), icon=":material/error:")


def told(action: Callable[[], object]) -> None:
    """The border of a callback, which runs before the page: what goes wrong is said beside it."""
    try:
        action()
    except UserError as error:
        st.toast(error_text(error), icon=":material/error:")


def _settle_language() -> None:
    default = language_of_browser()
    asked = st.query_params.get("lang")
    if asked in LANGUAGES:
        st.session_state[LANGUAGE] = asked
    elif st.session_state.get(LANGUAGE) not in LANGUAGES:
        st.session_state[LANGUAGE] = default
    write_language(st.session_state[LANGUAGE], default)


def _chosen_in_frame() -> None:
    chosen = st.session_state[LANGUAGE_SWITCH] or st.session_state[LANGUAGE]
    st.session_state[LANGUAGE] = st.query_params["lang"] = chosen
