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
OPEN = """async () => {
    document.querySelectorAll('details').forEach(details => { details.open = true; });
    document.querySelectorAll('.toggle-hidden button.toggle-button').forEach(button => button.click());
    for (const explorer of document.querySelectorAll('.explorer')) {
        explorer.scrollIntoView();
        while (!explorer.querySelector('.explorer-live')) await new Promise(requestAnimationFrame);
    }
    document.getAnimations().forEach(animation => animation.finish());
    await new Promise(requestAnimationFrame);
}"""

# axe-core looks at each element, which for tens of thousands takes a minute a page. So a formula becomes its text in a
# box of its size (to who listens it is one thing anyway), code keeps its colors once each, and the evidence, all of
# whose rows are made alike, some rows of each table.
SIMPLIFY = """() => {
    document.querySelectorAll('table.evidence tr:nth-child(n + 6)').forEach(row => row.remove());
    document.querySelectorAll('.katex-mathml math').forEach(node => node.replaceChildren(node.textContent));
    const parts = [...document.querySelectorAll('.katex-base')].map(node => [node, node.getBoundingClientRect()]);
    for (const [node, { width, height }] of parts) {
        node.textContent = node.textContent;
        Object.assign(node.style, { width: `${width}px`, height: `${height}px`, overflow: 'hidden' });
    }
    const seen = new Set();
    for (const token of document.querySelectorAll('pre span[class]')) {
        if (seen.has(token.className)) token.replaceWith(...token.childNodes);
        seen.add(token.className);
    }
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


def violations_of_page(tab: Page, rules: list[str] | None, judged: set[str]) -> Flaws:
    """Of the whole page, with all that is folded open; after this the page is of no other use."""
    tab.evaluate(OPEN)
    assert tab.locator(".toggle-hidden").count() == 0
    tab.evaluate(SIMPLIFY)
    return violations(tab, rules=rules, judged=judged)
