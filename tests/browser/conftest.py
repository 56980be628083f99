"""A real Chromium against a real server. A test asks for `page` (English), `new_page("zh")`, `server`, or `fresh_server()` for one of its own.

Each page fails its test on errors in the browser's console, each server fails the session on a traceback through our files in its log.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from resnet_core.runs import Store
from tests.browser.get_browser import find_browser

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LOCALES = {"en": "en-US", "zh": "zh-CN"}
PATIENCE = 60  # seconds; a busy machine is slow, but not broken
# Behind a deep link Streamlit looks for its server under the page's own path first, and Chromium writes the 404 into the console.
EXPECTED = re.compile(r"/[a-z-]+/_stcore/(health|host-config)$")
# A line of a traceback that leads through our files; Streamlit writes one of its own where a browser left in the middle of a handshake.
OURS = re.compile(rf'File "{re.escape(str(ROOT))}/(app\.py|(pages|dashboard|resnet_core)/)')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True, kw_only=True)
class Server:
    """`streamlit run app.py` with a runs folder of its own."""

    url: str
    runs: Path
    log: Path
    process: subprocess.Popen[bytes]

    def link(self, page: str = "", **parameters: str) -> str:
        """The address of a page by its path, with parameters like `lang="zh"`."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"{self.url}/{page}{'?' if query else ''}{query}"

    def stop(self) -> None:
        """End it and the trainings it started; raise AssertionError if something went wrong in it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        store = Store(self.runs)
        for run in sorted(store.runs(), key=lambda run: run.status != "queued"):  # waiting ones first: the one that ends starts the next
            if run.status == "queued":
                store.send(run.run, "stop")
            elif run.is_active and run.mark:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(run.mark.pid, signal.SIGTERM)
        log = self.log.read_text(encoding="utf-8")
        assert not OURS.search(log), log


def start_server(folder: Path, **environment: str) -> Server:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs, log = folder / "runs", folder / "server.log"
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true", "--server.address", "127.0.0.1"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--server.port", str(port)],
            cwd=ROOT,
            env={**os.environ, "RESNET_RUNS": str(runs), **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    server = Server(url=f"http://127.0.0.1:{port}", runs=runs, log=log, process=process)
    try:
        wait_until_healthy(server)
    except AssertionError:
        server.stop()
        raise
    return server


def wait_until_healthy(server: Server) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"the server did not start: {server.log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Server]:
    """One for the whole session, so what a test leaves in its runs the next one finds."""
    started = start_server(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()


@pytest.fixture
def fresh_server(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Callable[..., Server]]:
    """Starts servers that nobody has visited yet, with more in their environment where named."""
    started: list[Server] = []

    def start(**environment: str) -> Server:
        started.append(start_server(tmp_path_factory.mktemp("fresh"), **environment))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = find_browser()
    if found is None:
        reason = "NO BROWSER: Chromium is neither on the path nor with Playwright; python tests/browser/get_browser.py gets one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Iterator[dict[str, BrowserContext]]:
    """A profile per language for the whole session: what a server's scripts are, each is told once."""
    opened = {language: browser.new_context(viewport={"width": 1280, "height": 800}, locale=locale) for language, locale in LOCALES.items()}
    for context in opened.values():
        context.set_default_timeout(PATIENCE * 1000)
    yield opened
    for context in opened.values():
        context.close()


@pytest.fixture
def new_page(contexts: dict[str, BrowserContext]) -> Iterator[Callable[..., Page]]:
    """`new_page("zh")`: a window of 1280 x 800 in a browser of that language that remembers nothing of earlier tests."""
    errors = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not EXPECTED.search(message.location.get("url", "")):
            errors.append(f"{message.text} ({message.location.get('url', '')})")

    def open_(language: str = "en") -> Page:
        page = contexts[language].new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_
    for context in contexts.values():
        for page in context.pages:
            if page.url.startswith("http"):
                page.evaluate("localStorage.clear(), sessionStorage.clear()")
            page.close()
        context.clear_cookies()
    assert not errors, errors


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()
