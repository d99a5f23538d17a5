"""Driving explorers in a browser: a page with all of them as in the book, a bare page, and hands for both.

Every number that an explorer shows is kept with all its digits in `data-value`.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from explorers import ALT
from playwright.sync_api import Browser, Locator, Page
from sites import ROOT, build_small

FOLDER = ROOT / "book" / "_static" / "explorers"
NAMES = tuple(ALT)
BARE = "<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>Explorers</title>{places}{scripts}</html>"


# Pages


def build_page(source: Path, target: Path) -> None:
    """Build index.html with all explorers and plain.html with none, in the book's theme; both folders are new."""
    shutil.copytree(ROOT / "book" / "_static", source / "book" / "_static")
    directives = [
        f"## The {name} explorer\n\n```{{explorer}} {name}\n:name: fig-{name}\nThis caption.\n```" for name in NAMES
    ]
    (source / "index.md").write_text(
        "# Explorers\n\n" + "\n\n".join(directives) + "\n\n```{toctree}\nplain\n```\n", "utf-8"
    )
    (source / "plain.md").write_text("# A page without one\n\n## Nothing\n", "utf-8")
    settings = dict(extensions=["myst_parser", "explorers"], html_theme="sphinx_book_theme", numfig=True, language="en",
                    html_static_path=["book/_static"], html_css_files=["book.css"], project="Explorers",
                    html_favicon="book/_static/favicon.svg",
                    exclude_patterns=["**/*.safetensors"], html_context=dict(default_mode="auto"))  # fmt: skip
    run = build_small(source, settings, target)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr


@contextmanager
def alive(browser: Browser, folder: Path, *names: str) -> Iterator[Page]:
    """A page with nothing but these explorers, at work; at the end no script has failed."""
    places = "".join(f"<div class='explorer-{name}'><img alt=''></div>" for name in names)
    scripts = [f"<script src='{(FOLDER / f'{name}.js').as_uri()}'></script>" for name in ("network", "panel", *names)]
    page = folder / "index.html"
    page.write_text(BARE.format(places=places, scripts="".join(scripts)), encoding="utf-8")
    with browser.new_context(viewport={"width": 1350, "height": 3000}) as context:
        flaws: list[str] = []
        context.on("weberror", lambda error: flaws.append(str(error.error)))
        yield opened(context, page.as_uri(), *names)
        assert flaws == []


def opened(context, address: str, *names: str) -> Page:
    """A page with these explorers at work, or with all."""
    tab = context.new_page()
    tab.goto(address)
    for name in names or NAMES:
        tab.locator(f".explorer-{name}").scroll_into_view_if_needed()
        tab.wait_for_selector(f".explorer-{name} .explorer-live")
    return tab


# What is seen


def explorer(tab: Page, name: str) -> Locator:
    found = tab.locator(f".explorer-{name}")
    found.scroll_into_view_if_needed()
    return found


def values(found: Locator) -> list[float]:
    """All numbers that an explorer shows, with all their digits."""
    return [
        float(number) for number in found.locator("[data-value]").evaluate_all("all => all.map(n => n.dataset.value)")
    ]


def pixels(canvas: Locator) -> torch.Tensor:
    """The opacities of the ink, 0 to 255."""
    script = "c => Array.from(c.getContext('2d').getImageData(0, 0, 28, 28).data).filter((_, i) => i % 4 === 3)"
    return torch.tensor(canvas.evaluate(script), dtype=torch.float64)


def close(left, right, tolerance: float) -> bool:
    left, right = (torch.as_tensor(side, dtype=torch.float64) for side in (left, right))
    assert left.shape == right.shape and left.isfinite().all() and right.isfinite().all()
    return (left - right).abs().max().item() <= tolerance


def rows(tab: Page, script: str, argument=None) -> torch.Tensor:
    """What the page computes, as float64."""
    return torch.tensor(tab.evaluate(script, argument), dtype=torch.float64)


def number(found: Locator, name: str) -> float:
    return float(found.get_attribute(name))


def curve(found: Locator) -> np.ndarray:
    """The points (x, y) of a path."""
    pairs = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", found.get_attribute("d"))
    return np.array(pairs, dtype=float)


# Hands


def drag(tab: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    tab.mouse.move(*start)
    tab.mouse.down()
    tab.mouse.move(*end, steps=5)
    tab.mouse.up()


def finger(tab: Page, points: list[tuple[float, float]]) -> None:
    """A finger put down at the first point, moved to the others, and lifted."""
    session = tab.context.new_cdp_session(tab)
    for i, (x, y) in enumerate(points):
        kind = "touchMove" if i else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        painted(tab)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    painted(tab)


def painted(tab: Page) -> None:
    """Wait until what was done is seen."""
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def middle(found: Locator) -> tuple[float, float]:
    box = found.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def move(found: Locator, name: str, value: float) -> None:
    """Set a slider as a hand does."""
    found.get_by_role("slider", name=name, exact=True).fill(f"{value:.2f}")
