"""Where the browser is that opens the pages: Chromium or Chrome, on Linux, macOS or Windows."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installed() -> Iterator[Path]:
    """Where the installers of macOS and Windows put it, which no search path names."""
    for folder in (Path("/Applications"), Path.home() / "Applications"):
        for app in ("Google Chrome", "Chromium"):
            yield folder / f"{app}.app" / "Contents" / "MacOS" / app
    for variable in ("ProgramFiles", "ProgramFiles(x86)", "LocalAppData"):
        for product in (Path("Google", "Chrome"), Path("Chromium")):
            if variable in os.environ:
                yield Path(os.environ[variable]) / product / "Application" / "chrome.exe"


def downloaded() -> Path | None:
    """Where ``playwright install chromium`` puts it; None without playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path)


def chromium() -> str | None:
    """The program that the variable CHROMIUM names, or else the first that is found; None where there is none."""
    if named := os.environ.get("CHROMIUM"):
        return named
    if command := next(filter(None, map(shutil.which, COMMANDS)), None):
        return command
    for path in installed():
        if path.is_file():
            return str(path)
    path = downloaded()  # last, because it starts playwright
    return str(path) if path and path.is_file() else None
