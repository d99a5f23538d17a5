#!/bin/sh
# Install what `make pdf` needs, XeLaTeX and the book's fonts: Debian's or Ubuntu's own packages, about 400 MB.
set -eu

complete() {
    command -v xelatex && command -v latexmk && kpsewhich tcolorbox.sty && kpsewhich polyglossia.sty &&
        has_font "TeX Gyre Pagella Math" && has_font "DejaVu Sans Mono"
} >/dev/null 2>&1

# XeTeX itself is asked: where it looks differs between systems, and macOS has no fc-list.
has_font() (
    folder=$(mktemp -d)
    trap 'rm -r "$folder"' EXIT
    cd "$folder"
    xetex -interaction=batchmode -halt-on-error "\\font\\asked=\"$1\" \\end"
)

if complete; then
    exit 0
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing TeX: about 400 MB, once."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends texlive-xetex texlive-latex-recommended \
        texlive-latex-extra texlive-fonts-recommended latexmk fonts-texgyre fonts-texgyre-math fonts-dejavu poppler-utils
else
    echo "The PDF needs XeLaTeX, latexmk, and the fonts TeX Gyre Pagella, TeX Gyre Pagella Math and DejaVu Sans Mono." >&2
    echo "Install them with your system's package manager, for instance: sudo sh tools/install_tex.sh" >&2
    echo "A full TeX Live has all but the DejaVu fonts; on macOS, XeTeX finds them in the folder ~/Library/Fonts." >&2
    exit 1
fi
