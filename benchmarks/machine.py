"""What every recorded measurement depends on."""

import os
import platform
import re
from pathlib import Path


def machine() -> dict[str, str | int]:
    """The processor, how many of its cores there are, and the version of Python."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = re.search("model name\\s*: (.*)", cpuinfo)
    return dict(cpu=cpu[1] if cpu else platform.processor(), cores=os.cpu_count(), python=platform.python_version())
