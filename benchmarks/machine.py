"""What every recorded measurement depends on."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, str | int]:
    """The processor, how many of its cores there are, and the version of Python."""
    return dict(cpu=processor(), cores=os.cpu_count(), python=platform.python_version())


def processor() -> str:
    """The name its maker gave it, where the system tells; otherwise its kind."""
    if sys.platform == "darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    cpuinfo = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    name = re.search("model name\\s*: (.*)", cpuinfo)
    return name[1] if name else platform.processor() or platform.machine()


def versions(*libraries: str) -> dict[str, str]:
    """What the seconds depend on beside the machine; what their ratios depend on less."""
    return {library: importlib.metadata.version(library) for library in libraries}
