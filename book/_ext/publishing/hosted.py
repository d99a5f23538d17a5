"""Hosted notebooks: where the repository's name is known, pages offer to open their notebooks on Colab and Binder.

``GITHUB_REPOSITORY`` (owner/name) and ``GITHUB_SHA`` say where the book is published from. Then the pages link to the
repository and open their notebooks on the two services, from the branch to which the workflow `publish` pushes them;
and the first cell of every notebook to download knows where the book's files of that commit are. Without them there is
no such link, and the first cell of a notebook only says how to install the package.
"""

import os
import re

BRANCH = "notebooks"
ADDRESS = re.compile(r'(?<=BOOK_FILES = \\")[^"\\]*(?=\\")')  # as the first cell stands in the file of a notebook


def add_buttons(app, config) -> None:
    """Links to the repository, and its notebooks on Colab and Binder, where its name is known; otherwise none."""
    options = {"repository_url": "", "launch_buttons": {}}
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        options = {
            "repository_url": f"https://github.com/{repository}",
            "repository_branch": BRANCH,
            "repository_provider": "github",
            "use_repository_button": True,
            "use_issues_button": True,
            "launch_buttons": {
                "colab_url": "https://colab.research.google.com",
                "binderhub_url": "https://mybinder.org",
                "notebook_interface": "jupyterlab",
            },
        }
    config.html_theme_options.update(options)


def book_files() -> str:
    """The address of the book's files at the commit that is published, "" where it is not known."""
    repository, commit = os.environ.get("GITHUB_REPOSITORY"), os.environ.get("GITHUB_SHA", "HEAD")
    return f"https://github.com/{repository}/archive/{commit}.zip" if repository else ""


def fill_in(notebook: str, address: str) -> str:
    """The text of a notebook file with the address in its first cell, and not a byte changed elsewhere."""
    filled, n = ADDRESS.subn(lambda _: address, notebook)
    if n != 1:
        raise ValueError(f"the address of the book's files goes to {n} places, expected 1: see tools/first_cell.py")
    return filled


def fill_in_downloads(app, exception) -> None:
    if exception is None and app.builder.format == "html" and (address := book_files()):
        for path in (app.outdir / "_sources").rglob("*.ipynb"):
            path.write_text(fill_in(path.read_text(encoding="utf-8"), address), encoding="utf-8")


def setup(app):
    app.connect("config-inited", add_buttons)
    app.connect("build-finished", fill_in_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
