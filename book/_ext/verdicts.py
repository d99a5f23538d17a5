"""The checks in what a notebook's cell shows, and whether each may stand there.

A check is the output of a ``vae_tutorial.checks.Check``, an element ``<div class="check …" data-check="{json}">``.
The page of evidence reads it in the stored notebooks, and the tests in those that they execute.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

CHECK = re.compile(r'<div class="check check-(?P<verdict>pass|fail)" data-check="(?P<data>[^"]*)">')


def check_in(markup: str) -> dict[str, Any] | None:
    """The check in a piece of HTML, as the fields of a ``Check``; None where there is none."""
    match = CHECK.search(markup)
    return json.loads(html.unescape(match["data"])) if match else None


def checks_of(outputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The checks among the outputs of a cell, in order."""
    markups = ("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    return [check for check in map(check_in, markups) if check]


def required(check: Mapping[str, Any]) -> str:
    """The bound that the measurement must keep."""
    relation = {"<=": "≤", ">=": "≥"}[check["relation"]]
    return f"{relation} {check['bound']:g}"


def flaw(check: Mapping[str, Any], planted: bool) -> str:
    """What is wrong with a check: it fails, or passes where a mistake was planted; "" when all is well."""
    if check["passed"] != planted:
        return ""
    measured = f"{check['measured']}, required {required(check)} {check['unit']}".rstrip()
    how = "passes although its cell is tagged planted-mistake" if planted else "fails"
    return f"the check “{check['claim']}” {how} (measured {measured}). {check['mistake']}".rstrip()
