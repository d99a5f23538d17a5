"""What checks say, as a book sets it: 1.4e-14 is 1.4 × 10⁻¹⁴, and no line ends within; p_θ has an index, 2^16 a power,
and a name of the code looks like one."""

import re

CLAIM = re.compile(r'(?<=<span class="check-claim">).*?(?=</span>)', re.DOTALL)
MEASUREMENT = re.compile(r'(?<=<div class="check-measurement">).*?(?=</div>)', re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?)0*(\d+)\b")
INDEX = re.compile(r"(?<![A-Za-zα-ω_])([A-Za-zΑ-ω])_(?:\{([^}]*)\}|([A-Za-z0-9α-ω]{1,6}))(?![A-Za-z0-9_(.])")
POWER = re.compile(r"\^(?:\{([^}]*)\}|\(([^)]*)\)|([-−]?\w+(?:\.\d+)?))")
CODE = re.compile(r"\b(?:[A-Za-z]\w*\.)*(?:[A-Za-z]\w+_\w*|[A-Za-z]_\w+_\w+)(?:\.\w+)*(?:\(\))?")


def typeset(number: re.Match) -> str:
    mantissa, sign, exponent = number.groups()
    power = f"10<sup>{'−' if sign == '-' else ''}{exponent}</sup>"
    return f'<span class="number">{power if mantissa == "1" else f"{mantissa} × {power}"}</span>'


def symbols(text: str) -> str:
    """Indices, powers and names of the code."""
    text = CODE.sub(r"<code>\g<0></code>", text)
    text = INDEX.sub(lambda match: f"{match[1]}<sub>{match[2] or match[3]}</sub>", text)
    return POWER.sub(lambda match: f"<sup>{(match[1] or match[2] or match[3]).replace('-', '−')}</sup>", text)


def typeset_checks(app, pagename, templatename, context, doctree) -> None:
    if "body" in context:
        body = CLAIM.sub(lambda text: symbols(text[0]), context["body"])
        context["body"] = MEASUREMENT.sub(lambda text: NUMBER.sub(typeset, symbols(text[0])), body)


def setup(app):
    app.connect("html-page-context", typeset_checks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
