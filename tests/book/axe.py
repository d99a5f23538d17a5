"""What axe-core, an engine of accessibility tests, objects to on a page that is open in the browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

COLORS = ["color-contrast", "link-in-text-block"]  # rules that take milliseconds for each text of a page
PLACES = ["scrollable-region-focusable", "target-size"]  # rules that depend on the width
# Texts whose ancestors all look alike have the same contrast, so the first of a kind speaks for the others.
MARK_KINDS = """within => {
    document.querySelectorAll('[data-kind]').forEach(node => node.removeAttribute('data-kind'));
    const seen = new Set();
    for (const node of document.querySelectorAll(`${within}, ${within} *`)) {
        if (![...node.childNodes].some(child => child.nodeType === Node.TEXT_NODE && child.data.trim())) continue;
        const { color, fontSize, fontWeight, textShadow } = getComputedStyle(node);
        const kind = [node.tagName, color, fontSize, fontWeight, textShadow];
        for (let around = node; around; around = around.parentElement) {
            const { backgroundColor, backgroundImage, opacity, filter } = getComputedStyle(around);
            kind.push(backgroundColor, backgroundImage, opacity, filter);
        }
        if (seen.has(kind.join())) continue;
        seen.add(kind.join());
        node.setAttribute('data-kind', '');
    }
}"""


def violations(tab: Page, within: str = "html") -> list[tuple[str, str]]:
    """Each rule that is broken, and the element that breaks it."""
    others = {"rules": {rule: {"enabled": False} for rule in COLORS}}
    return run(tab, within, others) + color_violations(tab, within)


def appearance_violations(tab: Page) -> list[tuple[str, str]]:
    """Those of the rules that another width or another scheme can break."""
    return run(tab, "html", {"runOnly": {"type": "rule", "values": PLACES}}) + color_violations(tab)


def color_violations(tab: Page, within: str = "body") -> list[tuple[str, str]]:
    """Each rule about colors that is broken, and the first element that breaks it so."""
    tab.evaluate(MARK_KINDS, within)
    return run(tab, "[data-kind]", {"runOnly": {"type": "rule", "values": COLORS}})


def run(tab: Page, within: str, options: dict) -> list[tuple[str, str]]:
    found = Axe().run(tab, within, {"resultTypes": ["violations"], **options}).response
    assert found["passes"]
    return [(rule["id"], node["html"][:200]) for rule in found["violations"] for node in rule["nodes"]]
