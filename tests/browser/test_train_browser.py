"""A training started, paused, resumed and stopped by hand; found again after a refresh, in a second tab, and after the server was killed."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from resnet_core.runs import Run, Store
from tests.browser.conftest import PATIENCE, Server, start_server

pytestmark = pytest.mark.timeout(300)  # several starts and ends of trainings in one test
OBEYED = 10.0  # seconds from the click to the store: the promise is 2, on a machine that runs neither a browser nor a suite of tests
STARTED = 100  # seconds: a process, torch, data, and two timed steps of each precision, beside everything else that a suite does
STEPS = re.compile(r"step ([\d,]+) of ([\d,]+)")


def button(page: Page, name: str) -> Locator:
    return page.locator(f".st-key-train_{name}").get_by_role("button")


def begin(server: Server, page: Page, **form: str) -> Run:
    """Open Train with what a link says, press Start, and wait for the first steps."""
    page.goto(server.link("train", **form))
    expect(button(page, "start")).to_be_enabled()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")  # as a person, who reads first
    button(page, "start").click()
    expect(page.locator(".st-key-train_progress")).to_contain_text(STEPS, timeout=STARTED * 1000)
    return until(Store(server.runs), lambda run: run.step > 0)


def until(store: Store, is_so: Callable[[Run], bool], seconds: float = PATIENCE) -> Run:
    """The first run of the store, as soon as something is true of it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run = store.runs()[-1]  # the oldest: a pair's ResNet
        if is_so(run):
            return run
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {store.runs()[-1]}")


def zoom_stays(page: Page, store: Store) -> None:
    """Zoomed in with Ctrl and the wheel, the curve goes on growing inside what is looked at."""
    steps = page.locator(".st-key-train_live_loss [aria-label^='X-axis']")
    whole, box = steps.get_attribute("aria-label"), page.locator(".st-key-train_live_loss svg.marks").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    expect(steps).not_to_have_attribute("aria-label", str(whole))
    zoomed, progress = steps.get_attribute("aria-label"), page.locator(".st-key-train_progress")
    for _ in range(2):  # times that new steps are drawn
        drawn, seen = progress.inner_text(), store.runs()[-1].step
        until(store, lambda run, seen=seen: run.step > seen)  # type: ignore[misc]
        expect(progress).not_to_have_text(drawn)
        assert steps.get_attribute("aria-label") == zoomed


def end_all(store: Store) -> None:
    for run in sorted(store.runs(), key=lambda run: run.status != "queued"):
        if run.status in ("queued", "running", "paused"):
            store.send(run.run, "stop")
    until(store, lambda run: not run.is_active)


def test_start_pause_resume_stop(fresh_server: Callable[..., Server], new_page: Callable[..., Page]) -> None:
    server, page = fresh_server(RESNET_STANDBY="1", RESNET_NICE=""), new_page()  # not nice: it would wait for all other tests
    begun = begin(server, page, networks="resnet8,plain8", set="epochs=300")
    assert begun.mark is not None
    command = Path(f"/proc/{begun.mark.pid}/cmdline")
    assert sys.platform != "linux" or b"standby" in command.read_bytes()
    store, badges = Store(server.runs), page.locator(".st-key-train_commands")
    expect(page.locator(".st-key-train_live_loss").get_by_role("img").first).to_contain_text("training loss")
    zoom_stays(page, store)

    clicked = time.monotonic()
    button(page, "pause").click()
    paused = until(store, lambda run: run.status == "paused")
    assert time.monotonic() - clicked < OBEYED
    expect(badges).to_contain_text("paused")
    expect(button(page, "pause")).to_be_disabled()
    time.sleep(1)
    assert store.run(paused.run).step == paused.step

    button(page, "resume").click()
    until(store, lambda run: run.status == "running" and run.step > paused.step)
    expect(badges).to_contain_text("running")

    page.reload()
    expect(page.locator(".st-key-train_progress")).to_contain_text(STEPS)
    tab = page.context.new_page()
    tab.goto(server.link("train", lang="zh"))
    expect(tab.locator(".st-key-train_progress")).to_contain_text("resnet8")
    tab.close()

    button(page, "stop").click()
    stopped = until(store, lambda run: run.status == "stopped")
    expect(badges).to_contain_text("stopped")
    assert {run.status for run in store.runs()} == {"stopped"}  # its waiting twin too
    assert (stopped.folder / "resume.pt").is_file()

    button(page, "resume").click()
    until(store, lambda run: run.status == "running" and run.step > stopped.step, STARTED)  # a new process
    end_all(store)


@pytest.mark.long  # what a killed server leaves behind is tested without a browser too
def test_a_killed_server_loses_no_training(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    server = start_server(tmp_path)
    page = new_page()
    begin(server, page, networks="resnet8", set="epochs=300")
    store = Store(server.runs)
    page.close()  # first: a page without its server would complain
    server.process.kill()
    server.process.wait(10)
    seen = until(store, lambda run: run.step > 0).step
    until(store, lambda run: run.status == "running" and run.step > seen + 2)
    second = start_server(tmp_path)
    try:
        again = new_page()
        again.goto(second.link("train"))
        expect(again.locator(".st-key-train_progress")).to_contain_text(STEPS)
        expect(again.locator(".st-key-train_commands")).to_contain_text("running")
        button(again, "stop").click()
        until(store, lambda run: run.status == "stopped")
        again.close()
    finally:
        second.stop()


def test_a_reload_keeps_the_form(server: Server, page: Page) -> None:
    page.goto(server.link("train"))
    epochs = page.locator(".st-key-train_epochs input")
    epochs.fill("7")
    epochs.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]set=epochs%3D7"), timeout=PATIENCE * 1000)
    page.reload()
    expect(page.locator(".st-key-train_start").get_by_role("button")).to_be_enabled(timeout=PATIENCE * 1000)
    expect(epochs).to_have_value("7")
