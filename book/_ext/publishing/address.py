"""Where the book is published, from the environment of the machine that builds it."""

import os
from urllib.parse import urlsplit


def site_address() -> str:
    """The published site's address with a slash at its end, or "" where nothing says what it will be.

    ``SITE_URL`` says it outright, for a site with a host name of its own. Otherwise GitHub's machines name the
    repository in ``GITHUB_REPOSITORY``, and its pages are at owner.github.io/name/, or at owner.github.io/ itself
    where that is the repository's name.
    """
    if address := os.environ.get("SITE_URL"):
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
            raise ValueError(f"SITE_URL must be an address such as https://example.org/book/, got {address}")
        return address.rstrip("/") + "/"
    owner, _, name = os.environ.get("GITHUB_REPOSITORY", "").partition("/")
    host = f"{owner.lower()}.github.io"
    if not name:
        return ""
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"
