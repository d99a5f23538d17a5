"""A module with an edit of its source, to see whether a test notices."""

import importlib
from pathlib import Path
from types import ModuleType


def rebuilt(name: str, old: str, new: str) -> ModuleType:
    """The module of this name as it would be with ``new`` wherever its source has ``old``."""
    source = Path(importlib.import_module(name).__file__).read_text(encoding="utf-8")
    assert old in source, f"{old!r} is not in {name}"
    module = ModuleType(name)
    exec(compile(source.replace(old, new), name, "exec"), module.__dict__)
    return module
