#!/bin/sh
# Install the Chromium with which the tests open every page of the book: Debian's or Ubuntu's own package.
set -eu

if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    [ -d "/Applications/Google Chrome.app" ] || [ -d /Applications/Chromium.app ]; then
    echo "A Chromium is there already."
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
else
    echo "Install Chromium or Chrome with your system's package manager, for instance: sudo apt-get install chromium" >&2
    echo "Or, after make install: .venv/bin/playwright install chromium" >&2
    echo "Where it has another name, point the variable CHROMIUM at its program." >&2
    exit 1
fi
