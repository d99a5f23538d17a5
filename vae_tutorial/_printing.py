"""Symbols in words, for where standard output has no symbols: a pipe or a file on Windows, an old terminal."""

import sys

WORDS = {
    **dict(zip("αβγδεζηθκλμνξπρστφχψω",
               "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega"
               .split(), strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΦΨΩ", "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(), strict=True)),
    "¹": "^1", "²": "^2", "³": "^3", "½": "1/2", "¼": "1/4", "√": "sqrt", "∞": "inf", "ℓ": "l", "∂": "d", "∇": "grad",
    "−": "-", "–": "-", "—": "-", "±": "+-", "×": "x", "·": "*", "‖": "||", "∣": "|", "≤": "<=", "≥": ">=", "≠": "!=",
    "≈": "~=", "→": "->", "∈": "in", "∫": "integral", "“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "○": "o",
    "û": "u_hat", "′": "'", "ᵀ": "^T", "⁻": "^-", "₁": "_1",
    "\u0302": "_hat",
}  # fmt: skip


def printable(text: str) -> str:
    """The text, if standard output can take all of it; otherwise with words for the symbols that it can't take."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    shown, after_word = "", False
    for character in text:
        piece = character
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            piece = WORDS.get(character) or ascii(character)[1:-1]
        # σε becomes "sigma epsilon", not "sigmaepsilon".
        apart = _is_word(shown[-1:]) and _is_word(piece[:1]) and (after_word or piece != character)
        shown += " " * apart + piece
        after_word = piece != character
    return shown


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()
