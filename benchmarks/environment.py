"""Where, from which code and with which libraries the numbers of a benchmark come."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from recordings.parallel import cores

DISTRIBUTIONS = ("numpy", "numba", "torch", "snntorch", "spikingjelly", "lava-nc", "h5py", "isal")


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, and how busy all of it was in the last minute."""
    names = []
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": cores(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit() -> str:
    """The commit checked out, with a mark if anything differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    with suppress(OSError):
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        if found.stdout:
            return found.stdout.strip()
    return "unknown"
