"""A cell of the matrix opens its images, an image brings its maps, and both follow the link."""

import re

from playwright.sync_api import Page, expect

from dashboard.i18n import sentences
from tests.browser.conftest import Server

WORDS = sentences("en")


def test_from_a_cell_to_an_image_to_what_both_networks_look_at(server: Server, page: Page) -> None:
    page.goto(server.link("compare"))
    maps = page.locator(".st-key-compare_maps")
    drawn = maps.locator(".heatmaplayer image")  # three methods for A, for B, and their difference
    expect(drawn).to_have_count(9)
    expect(maps.get_by_text("Image 0", exact=True)).to_be_visible()
    before = drawn.first.get_attribute("href") or drawn.first.get_attribute("xlink:href")
    cell = page.locator(".st-key-compare_matrix .mark-rect path[aria-label*='5']").first
    cell.click()
    opened = page.get_by_text(re.compile(r"A says \d, B says \d"))
    expect(opened).to_be_visible()
    answers = re.match(r"A says (\d), B says (\d)", opened.inner_text())
    assert answers is not None
    picture = page.locator(".st-key-compare_gallery button").nth(1)
    expect(picture).to_have_attribute("title", re.compile(rf"A: {answers[1]} .*B: {answers[2]} "))  # else those of before are still there
    title = picture.get_attribute("title") or ""
    number = re.match(r"Image (\d+)", title)
    assert number is not None
    picture.click()
    expect(maps.get_by_text(f"Image {number[1]}", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(rf"image=mnist-mini%3Atest%3A{number[1]}(&|$)"))
    expect(drawn).to_have_count(9)
    expect(drawn.first).not_to_have_attribute("href", before or "")
    expect(maps.get_by_text(re.compile(r"\d+ steps")).first).to_be_visible()
    page.get_by_role("link", name=WORDS["page.residual_blocks.title"], exact=True).first.click()
    expect(page.locator(".st-key-image_picker input")).to_have_value(number[1])
