"""Results that are kept: which code they come from, and the files that hold them."""

import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from machine import machine

import vae_tutorial

ROOT = Path(__file__).parent.parent


def provenance() -> dict[str, Any]:
    """Which code ran, on what."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return dict(
        date=time.strftime("%Y-%m-%d"), package=vae_tutorial.__version__, commit=commit or "not a git checkout",
        torch=torch.__version__, threads=1, **machine(),
    )  # fmt: skip


def rows_of(path: Path) -> dict[str, Any]:
    """What a file of results holds so far."""
    return json.loads(path.read_text())["rows"] if path.exists() else {}


def store(path: Path, name: str, record: dict[str, Any], order: Iterable[str]) -> None:
    """Add a row to a file of results, which another process may have written to meanwhile."""
    rows = rows_of(path) | {name: record}
    path.write_text(json.dumps({"rows": {key: rows[key] for key in order if key in rows}}, indent=1) + "\n")
