"""What axe-core, an engine of accessibility tests, objects to on a page that is open in the browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

COLORS = ["color-contrast", "link-in-text-block"]  # rules that take milliseconds for each text of a page
PLACES = ["scrollable-region-focusable", "target-size"]  # rules that depend on the width
KINDS = "[data-kind]"
# Texts whose ancestors all look alike have the same contrast, so the first of a kind speaks for the others.
MARK_KINDS = """([within, judged]) => {
    document.querySelectorAll('[data-kind]').forEach(node => node.removeAttribute('data-kind'));
    const seen = new Set(judged);
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
    return [...seen];
}"""
Flaws = list[tuple[str, str]]  # each rule that is broken, and the element that breaks it


def violations(tab: Page, within: str = "html") -> Flaws:
    return violations_but_colors(tab, within) + color_violations(tab, within)


def violations_but_colors(tab: Page, within: str = "html") -> Flaws:
    return run(tab, within, {"rules": {rule: {"enabled": False} for rule in COLORS}})


def place_violations(tab: Page) -> Flaws:
    """Those of the rules that another width can break."""
    return run(tab, "html", {"runOnly": {"type": "rule", "values": PLACES}})


def color_violations(tab: Page, within: str = "body", judged: set[str] | None = None) -> Flaws:
    """Of the rules about colors, by the first text of each kind that is not ``judged``, to which these are added."""
    judged = set() if judged is None else judged
    kinds = set(tab.evaluate(MARK_KINDS, [within, sorted(judged)]))
    if kinds == judged:
        return []
    judged |= kinds
    return run(tab, KINDS, {"runOnly": {"type": "rule", "values": COLORS}})


def run(tab: Page, within: str, options: dict) -> Flaws:
    found = Axe().run(tab, within, {"resultTypes": ["violations"], **options}).response
    assert found["passes"] or within == KINDS  # what is new on a page may be hidden there
    return [(rule["id"], node["html"][:200]) for rule in found["violations"] for node in rule["nodes"]]
