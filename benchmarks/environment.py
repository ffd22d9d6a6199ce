"""Where, from which code and with which libraries the numbers of a benchmark come."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from recordings.parallel import cores

VECTORS = ("avx2", "avx512f", "avx512_vnni", "amx_tile", "asimd")  # instructions that speeds depend on, as Linux says
DISTRIBUTIONS = ("numpy", "numba", "torch", "snntorch", "spikingjelly", "lava-nc", "h5py", "isal")


def machine() -> dict[str, Any]:
    """Processor, its vector instructions, cores this process may use, memory in bytes, and the last minute's load."""
    about: dict[str, str] = {}
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = (about.get("flags") or about.get("Features", "")).split()
    return {
        "cpu": about.get("model name", platform.machine()),
        "vectors": [name for name in VECTORS if name in flags],
        "cores": cores(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
    }


def busy(seconds: float = 2.0) -> float:
    """The share of all cores that other processes use meanwhile."""
    return float(psutil.cpu_percent(seconds)) / 100


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
