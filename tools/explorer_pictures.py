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
    move(found, "Mean of q", 0.8)
    move(found, "Log-variance of q", -2.1)


def training(found: Locator) -> None:
    found.get_by_role("button", name="a half").click()


def convolutions(found: Locator) -> None:
    found.get_by_role("button", name="even ones").click()


def curve(found: Locator) -> None:
    found.get_by_role("button", name="about 10", exact=True).click()
    move(found, "Number of Gaussians", 9)


def divergences(found: Locator) -> None:
    found.get_by_role("button", name="KL(p ‖ q)", exact=True).click()
    found.get_by_role("button", name="down KL(p ‖ q)", exact=True).click()
    found.locator("[data-state=over]").wait_for()


def likelihoods(found: Locator) -> None:
    found.get_by_role("button", name="it depends on ℓ").click()
    move(found, "Logit that the decoder says", -2)


def smallest(found: Locator) -> None:
    found.locator("[data-bet=floor]").click()
    found.locator("[data-state=over]").wait_for()


def weights(found: Locator) -> None:
    move(found, "Log-variance of q", -2.5)
    found.get_by_role("slider", name="Number of draws").fill("6")


def annealing(found: Locator) -> None:
    move(found, "Inverse temperature", 1)


def eigenvalues(found: Locator) -> None:
    move(found, "Noise variance of the decoder", -1.1)


def prior(found: Locator) -> None:
    move(found, "Mean of the prior", 0.75)
    move(found, "Distance of its two peaks from the mean", 1.35)
    move(found, "Log-variance of each peak", -1.4)


def bits_back(found: Locator) -> None:
    for name in ("the entropy of q(z | x)", *["100 images"] * 3):
        found.get_by_role("button", name=name, exact=True).click()


def filter(found: Locator) -> None:
    found.get_by_role("button", name="blind to the chain").click()
    found.get_by_role("slider", name="Variance of the camera's noise").fill("-0.3")


def game(found: Locator) -> None:
    found.get_by_role("button", name="at two places").click()
    move(found, "Offset of the logit", -0.9)
    move(found, "Slope of the logit", 1.4)


def conditions(found: Locator) -> None:
    found.get_by_role("button", name="more than half a nat").click()


def noise(found: Locator) -> None:
    found.get_by_role("button", name="between them").click()


def codes(found: Locator) -> None:
    for _ in range(5):
        found.get_by_role("button", name="One step").click()


def flow(found: Locator) -> None:
    found.get_by_role("button", name="Search from here").click()


def rotation(found: Locator) -> None:
    for degrees in (90, 20):
        move(found, "Angle in degrees", degrees)


def draw(found: Locator) -> None:
    found.get_by_role("button", name="Take our 4").click()


def reparameterization(found: Locator) -> None:
    for mu in (-2, 2, 0.5):
        move(found, "Mean", mu)


def layers(found: Locator) -> None:
    found.get_by_role("button", name="only top-down").click()
    move(found, "How far the columns of W are turned", 0.25)


def keys(found: Locator) -> None:
    found.get_by_role("button", name="1", exact=True).click()


def ranks(found: Locator) -> None:
    found.get_by_role("button", name="1/2", exact=True).click()


def hours(found: Locator) -> None:
    found.get_by_role("button", name="2.9 nats").click()
    found.get_by_role("slider").fill("-3")


def table(found: Locator) -> None:
    found.get_by_role("button", name="no", exact=True).click()
    found.get_by_role("slider").fill("3")


def against(found: Locator) -> None:
    found.get_by_role("button", name="one contradicts").click()
    found.get_by_role("slider").fill("5")


def with_palette(picture: Image.Image) -> Image.Image:
    """The picture in 256 colors, a third of the bytes; a color counts by being there, not by its pixels."""
    colors = [color for count, color in picture.getcolors(picture.width * picture.height) if count > 9]
    palette = Image.new("RGB", (len(colors), 1))
    palette.putdata(colors)
    return picture.quantize(palette=palette.quantize(256), dither=Image.Dither.NONE)


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
        context = browser.new_context(viewport={"width": 1350, "height": 2000}, device_scale_factor=1.5)
        context.set_default_timeout(300_000)
        tab = opened(context, (Path(folder) / "book" / "index.html").as_uri(), *chosen)
        for name in chosen:
            found = explorer(tab, name)
            if pose := globals().get(name):  # a function with the name of an explorer sets what its picture shows
                pose(found)
            tab.evaluate("document.activeElement.blur()")
            picture = found.locator(".explorer-live").screenshot(animations="disabled")
            with_palette(Image.open(io.BytesIO(picture)).convert("RGB")).save(FOLDER / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
