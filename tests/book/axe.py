"""What axe-core, an engine of accessibility tests, objects to on a page that is open in the browser."""

from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

COLORS = {"color-contrast": "[data-kind]", "link-in-text-block": "a[href][data-kind]"}  # milliseconds for each text
AT_ANOTHER_WIDTH = [*COLORS, "scrollable-region-focusable", "target-size"]  # what another width or scheme can break
# Texts whose ancestors all look alike have the same contrast, so the first of a kind speaks for the others.
MARK_KINDS = """([within, judged]) => {
    document.querySelectorAll('[data-kind]').forEach(node => node.removeAttribute('data-kind'));
    const seen = new Set(judged), grounds = new Map([[null, '']]);
    function ground(node) {  // how an element and all around it look
        if (!grounds.has(node)) {
            const { backgroundColor, backgroundImage, opacity, filter } = getComputedStyle(node);
            grounds.set(node, [backgroundColor, backgroundImage, opacity, filter, ground(node.parentElement)].join());
        }
        return grounds.get(node);
    }
    for (const node of document.querySelectorAll(`${within}, ${within} *`)) {
        if (![...node.childNodes].some(child => child.nodeType === Node.TEXT_NODE && child.data.trim())) continue;
        if (!node.checkVisibility({visibilityProperty: true})) continue;
        const { color, fontSize, fontWeight, textShadow } = getComputedStyle(node);
        const kind = [node.tagName, color, fontSize, fontWeight, textShadow, ground(node)].join();
        if (seen.has(kind)) continue;
        seen.add(kind);
        node.setAttribute('data-kind', '');
    }
    return [...seen];
}"""
SELECTORS = ", ".join(f"{{id: '{rule}', selector: '{selector}'}}" for rule, selector in COLORS.items())
AXE = Axe(f"{AXE_SCRIPT}; axe.configure({{rules: [{SELECTORS}]}})")
Flaws = list[tuple[str, str]]  # each rule that is broken, and the element that breaks it


def violations(
    tab: Page, within: str = "html", rules: list[str] | None = None, judged: set[str] | None = None
) -> Flaws:
    """Of all rules, or of these; of those about colors by the first text of each kind that is not yet ``judged``."""
    judged = set() if judged is None else judged
    judged |= set(tab.evaluate(MARK_KINDS, [within, sorted(judged)]))
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = AXE.run(tab, within, {"resultTypes": ["violations"], **only}).response
    assert found["passes"]
    return [(rule["id"], node["html"][:200]) for rule in found["violations"] for node in rule["nodes"]]
