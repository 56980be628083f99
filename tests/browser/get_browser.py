"""Get a browser for the browser tests: one on the path, else Playwright's own download, else the system's package manager.

    python tests/browser/get_browser.py

Says which. Where none can be had it says so and the browser tests are skipped; with CI=true that is a failure.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALLERS = (("apt-get", "install", "-y", "-q", "chromium"), ("dnf", "install", "-y", "chromium"), ("apk", "add", "chromium"))


def on_path() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def of_playwright() -> str | None:
    """Playwright's own download, when it is there."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() and _quietly(path, "--version") else None  # a bare system may lack its libraries


def find_browser() -> str | None:
    return on_path() or of_playwright()


def _quietly(*command: str) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _from_package_manager() -> str | None:
    for command in INSTALLERS:
        if shutil.which(command[0]):
            as_root = () if os.geteuid() == 0 else ("sudo", "-n")
            if command[0] == "apt-get":
                _quietly(*as_root, "apt-get", "update", "-q")
            _quietly(*as_root, *command)
            return on_path()
    return None


def main() -> int:
    if found := on_path():
        print(f"Browser tests use the Chromium on the path: {found}")
    elif found := of_playwright():
        print(f"Browser tests use Playwright's Chromium: {found}")
    elif _quietly(sys.executable, "-m", "playwright", "install", "chromium") and (found := of_playwright()):
        print(f"Browser tests use Playwright's Chromium, just downloaded: {found}")
    elif found := _from_package_manager():
        print(f"Browser tests use the system's Chromium, just installed: {found}")
    else:
        print("!" * 100, "NO BROWSER COULD BE HAD: the browser tests are skipped. Install chromium and run again.", "!" * 100, sep="\n")
        return int(os.environ.get("CI") == "true")
    return 0


if __name__ == "__main__":
    sys.exit(main())
