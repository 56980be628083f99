"""One cursor and one zoom for all maps of a block, in a real browser."""

import numpy as np
from playwright.sync_api import Page, expect

from resnet_core.config import DataConfig
from resnet_core.data import load_split, normalize
from resnet_core.inspection import block_maps
from resnet_core.runs import find_checkpoint, load_model
from tests.browser.conftest import Server

SHOWN = ".st-key-residual_maps .maps"


def test_one_cursor_and_one_zoom_for_all_maps(server: Server, page: Page) -> None:
    page.goto(server.link("residual-blocks", lang="en", run="resnet20-mnist", block="stages.1.1", image="mnist-mini:test:0"))
    maps = page.locator(f"{SHOWN} canvas")
    expect(maps).to_have_count(4)
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    for pointed in (1, 3):
        box = maps.nth(pointed).bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.3 * box["height"])
        for place in range(4):  # 14 x 14: column 0.55 * 14, row 0.3 * 14
            expect(maps.nth(place)).to_have_attribute("data-cell", "4 7")
        expect(page.locator(f"{SHOWN} .said")).to_contain_text("row 4, column 7: x + F(x): ")
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator(SHOWN)).to_have_attribute("data-view", "0.5500 0.3000 0.2500")
    spec, split = load_split(DataConfig(dataset="mnist-mini"), "test")
    residual = block_maps(load_model(find_checkpoint("resnet20-mnist")), normalize(split.images[:1], spec), "stages.1.1").residual
    channel = np.linalg.norm(residual, axis=(1, 2)).argmax()  # the one that is offered first
    page.locator(".st-key-residual_mode button", has_text="one").click()
    expect(page.locator(SHOWN)).to_have_attribute("data-shown", f"stages.1.1 False (32, 14, 14), Channel {channel}")
    expect(page.locator(SHOWN)).to_have_attribute("data-view", "0.5500 0.3000 0.2500")  # another channel, the same place
    page.locator(SHOWN).press("Escape")
    expect(page.locator(SHOWN)).to_have_attribute("data-view", "0.0000 0.0000 1.0000")
    page.locator(SHOWN).press("ArrowRight")  # from the middle
    for place in range(4):
        expect(maps.nth(place)).to_have_attribute("data-cell", "7 8")
