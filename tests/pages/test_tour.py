"""The tour's links open what they say, in both languages, with nothing but what comes with the project."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.pages.conftest import ROOT, OpenPage, assert_healthy

LINK = re.compile(r"\]\((http://localhost:8501/[^)]*)\)")


def links(file: str) -> list[tuple[str, dict[str, str]]]:
    """(page, parameters) of every link into the dashboard."""
    found = [urlsplit(link) for link in LINK.findall((ROOT / "docs" / file).read_text(encoding="utf-8"))]
    return [(link.path.strip("/") or "home", dict(parse_qsl(link.query))) for link in found]


TOUR = links("tour.md")


def test_both_languages_have_the_same_links_each_in_its_own() -> None:
    chinese = links("tour.zh.md")
    assert [parameters.pop("lang") for _, parameters in chinese] == ["zh"] * len(chinese)
    assert chinese == TOUR
    assert len(TOUR) == 11


@pytest.mark.parametrize(
    ("number", "page", "parameters"),
    [(number, *link) for number, link in enumerate(TOUR)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_link_of_the_tour_opens_what_it_names(
    open_page: OpenPage, own_runs: Path, number: int, page: str, parameters: dict[str, str]
) -> None:
    """One in Chinese, the next in English: the pages' own tests have both."""
    app = open_page(page, language=("zh", "en")[number % 2], **parameters)
    assert_healthy(app)
    assert not app.error
    for name in parameters.keys() - {"panel"}:
        assert app.session_state[f"selected_{name}"] == parameters[name]
    if "panel" in parameters:
        assert [control.value for control in app.segmented_control].count(parameters["panel"]) == 1
