"""Write the addresses of the repository and of the published book, once they are known: into README.md, pyproject.toml.

    GITHUB_REPOSITORY=owner/name python tools/addresses.py

README.md gets badges and the link to the book, between two marks; pyproject.toml gets its table `project.urls`. Run it
again when they have changed. Where the book has a host name of its own, `SITE_URL` says it.

    GITHUB_REPOSITORY=owner/name GITHUB_SHA=commit python tools/addresses.py --release

makes the README's links to files of the repository absolute as well, as PyPI needs them: for the workflow `release`.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))

from publishing.address import site_address  # noqa: E402

MARKS = re.compile(r"(?<=<!-- addresses -->\n).*?(?=<!-- end of addresses -->)", flags=re.DOTALL)
LINK = re.compile(r"(!?)(\[[^\]]*\])\((?!\w+:|#)([^)]+)\)")
URLS = re.compile(r"\n\[project\.urls\]\n(?:\w.*\n)*")


def with_addresses(readme: str, repository: str, site: str) -> str:
    """The README with badges and the link to the book between its marks."""
    actions = f"https://github.com/{repository}/actions/workflows"
    badges = (f"[![{name}]({actions}/{name}.yml/badge.svg)]({actions}/{name}.yml)" for name in ("test", "publish"))
    filled, n = MARKS.subn(lambda _: f"**[Read the book]({site})**\n{chr(10).join(badges)}\n", readme)
    if n != 1:
        raise ValueError(f"README.md has {n} places for the addresses, expected 1")
    return filled


def with_urls(project: str, repository: str, site: str) -> str:
    """The text of pyproject.toml with its table `project.urls` at the end."""
    home = f"https://github.com/{repository}"
    urls = {"Documentation": site, "Repository": home, "Issues": f"{home}/issues"}
    table = "".join(f'{name} = "{address}"\n' for name, address in urls.items())
    return f"{URLS.sub('', project)}\n[project.urls]\n{table}"


def with_absolute_links(readme: str, repository: str, commit: str) -> str:
    """The README with the addresses of pictures and files at that commit."""

    def absolute(link: re.Match) -> str:
        mark, text, name = link.groups()
        if mark:
            return f"!{text}(https://raw.githubusercontent.com/{repository}/{commit}/{name})"
        return f"{text}(https://github.com/{repository}/blob/{commit}/{name})"

    return LINK.sub(absolute, readme)


def main() -> None:
    repository, site = os.environ.get("GITHUB_REPOSITORY"), site_address()
    if not repository:
        raise SystemExit("GITHUB_REPOSITORY=owner/name is needed: which repository?")
    readme = with_addresses((ROOT / "README.md").read_text(encoding="utf-8"), repository, site)
    if "--release" in sys.argv:
        readme = with_absolute_links(readme, repository, os.environ["GITHUB_SHA"])
    project = with_urls((ROOT / "pyproject.toml").read_text(encoding="utf-8"), repository, site)
    (ROOT / "README.md").write_text(readme, encoding="utf-8", newline="\n")
    (ROOT / "pyproject.toml").write_text(project, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
