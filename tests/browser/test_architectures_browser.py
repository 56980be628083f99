"""The drawing of a network in a real browser: chosen, drawn, opened by mouse and keyboard, zoomed, saved."""

import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server

pytestmark = pytest.mark.browser


def test_resnet_152_is_drawn_opened_zoomed_and_saved(server: Server, page: Page) -> None:
    page.goto(server.link("architectures", model="resnet18", lang="en"))
    overview, layers = page.locator(".st-key-diagram_first"), page.locator(".st-key-diagram_block")
    expect(overview.locator("text", has_text="Stage 4")).to_be_visible()

    picker = page.locator(".st-key-architecture_model input")
    picker.click()
    picker.fill("ResNet-152")
    option = page.get_by_role("option", name="ResNet-152", exact=True)
    option.wait_for()
    start = time.perf_counter()
    option.click()
    expect(overview.locator("text", has_text="Blocks 2–36")).to_be_visible()
    assert time.perf_counter() - start < 20  # 0.4 to 0.9 s where nothing else runs; it must not be minutes anywhere
    expect(page).to_have_url(server.link("architectures", model="resnet152", lang="en"))

    overview.get_by_role("button", name="stages.2.0").click()
    expect(page.get_by_text("Stage 3, block 1")).to_be_visible()
    expect(layers.locator("text", has_text="Conv2d 3×3, 256, /2")).to_be_visible()
    expect(layers.locator("path.shortcut.projection")).to_have_count(1)
    box = overview.locator('[data-value="stages.3.1"]')
    box.focus()
    box.press("Enter")
    expect(page.get_by_text("Stage 4, block 2")).to_be_visible()
    expect(layers.locator("path.shortcut.identity")).to_have_count(1)

    drawing = overview.locator("svg.drawing")
    before = drawing.bounding_box()
    overview.get_by_role("button", name="Larger").click()
    after = drawing.bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] == pytest.approx(1.25 * before["width"], rel=0.01)
    with page.expect_download() as download:
        overview.get_by_role("button", name="Save as picture").click()
    assert download.value.suggested_filename == "resnet152-3×224×224.svg"
    saved = download.value.path().read_text(encoding="utf-8")
    assert "Blocks 2–36" in saved
    assert "font-family" in saved
