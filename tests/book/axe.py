"""What axe-core, an engine of accessibility tests, objects to on a page that is open in the browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(tab: Page, within: str = "html", rules: list[str] | None = None) -> list[tuple[str, str]]:
    """Each rule that is broken, of these or of all, and the element that breaks it."""
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = Axe().run(tab, within, {"resultTypes": ["violations"], **only}).response
    assert found["passes"]
    return [(rule["id"], node["html"][:200]) for rule in found["violations"] for node in rule["nodes"]]
