"""Numbers of checks as a book sets them: 1.4e-14 is 1.4 × 10⁻¹⁴, and no line ends within."""

import re

MEASUREMENT = re.compile(r'(?<=<div class="check-measurement">).*?(?=</div>)', re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?)0*(\d+)\b")


def typeset(number: re.Match) -> str:
    mantissa, sign, exponent = number.groups()
    power = f"10<sup>{'−' if sign == '-' else ''}{exponent}</sup>"
    return f'<span class="number">{power if mantissa == "1" else f"{mantissa} × {power}"}</span>'


def typeset_checks(app, pagename, templatename, context, doctree) -> None:
    if "body" in context:
        context["body"] = MEASUREMENT.sub(lambda text: NUMBER.sub(typeset, text[0]), context["body"])


def setup(app):
    app.connect("html-page-context", typeset_checks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
