"""Photograph each explorer, for whom no script runs: book/_static/explorers/*.png.

    .venv/bin/python tools/explorer_pictures.py            # all
    .venv/bin/python tools/explorer_pictures.py flow kl    # these

Needs Chromium (`make browser`).
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

from chromium import chromium
from PIL import Image
from playwright.sync_api import Locator, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / folder) for folder in ("book/_ext", "tests/book")]
from driving import FOLDER, NAMES, build_page, explorer, move, opened  # noqa: E402


def elbo(found: Locator) -> None:
    move(found, "Mean of q", 0.82)
    move(found, "Log-variance of q", -2.1)


def bits_back(found: Locator) -> None:
    for name in ("the entropy of q(z | x)", *["100 images"] * 3):
        found.get_by_role("button", name=name, exact=True).click()


def game(found: Locator) -> None:
    found.get_by_role("button", name="at two places").click()
    move(found, "Offset of the logit", -0.9)
    move(found, "Slope of the logit", 1.4)


def noise(found: Locator) -> None:
    found.get_by_role("button", name="between them").click()


def smallest(found: Locator) -> None:
    found.locator("[data-bet=floor]").click()
    found.locator("[data-state=over]").wait_for()


POSES = {"bits_back": bits_back, "elbo": elbo, "game": game, "noise": noise, "smallest": smallest}  # what is done before; the others are taken as they begin


def main() -> None:
    parser = argparse.ArgumentParser(description="Photograph explorers.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], default=[], help="all when left out")
    chosen = parser.parse_args().names or NAMES
    for name in NAMES:
        if not (FOLDER / f"{name}.png").exists():
            Image.new("L", (2, 1), 255).save(FOLDER / f"{name}.png")  # the page has to be built before it has pictures
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        (source := Path(folder) / "source").mkdir()
        build_page(source, Path(folder) / "book")
        browser = playwright.chromium.launch(executable_path=chromium(), chromium_sandbox=False)
        context = browser.new_context(viewport={"width": 1350, "height": 900}, device_scale_factor=1.5)
        context.set_default_timeout(300_000)
        tab = opened(context, (Path(folder) / "book" / "index.html").as_uri(), *chosen)
        for name in chosen:
            found = explorer(tab, name)
            POSES.get(name, lambda found: None)(found)
            tab.evaluate("document.activeElement.blur()")
            with io.BytesIO(found.locator(".explorer-live").screenshot(animations="disabled")) as file:
                picture = (
                    Image.open(file).convert("RGB").quantize(64, dither=Image.Dither.NONE)
                )  # a palette: fewer bytes
            picture.save(FOLDER / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
