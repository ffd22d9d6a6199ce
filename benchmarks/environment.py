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

from spikesam.recordings.parallel import cores

VECTORS = ("avx2", "avx512f", "avx512_vnni", "amx_tile", "asimd")  # instructions that speeds depend on, as Linux says
HASWELL = "+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+f16c,+movbe"
CASCADE_LAKE = f"{HASWELL},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx512vnni"
UP_TO = {
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": HASWELL,
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "avx512_vnni": {
        "NUMBA_CPU_NAME": "cascadelake",
        "NUMBA_CPU_FEATURES": CASCADE_LAKE,
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16",  # as the newest without AMX
    },
}
"""Variables with which Numba, PyTorch and its libraries use no better vector instructions than these."""
DISTRIBUTIONS = ("numpy", "numba", "torch", "snntorch", "spikingjelly", "lava-nc", "h5py", "isal")


def machine(up_to: str = "all") -> dict[str, Any]:
    """Processor, vector instructions that it has and may use, cores that this process may use, memory in bytes, and the
    last minute's load.
    """
    about: dict[str, str] = {}
    allowed = VECTORS[: VECTORS.index(up_to) + 1] if up_to in VECTORS else VECTORS
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = (about.get("flags") or about.get("Features", "")).split()
    return {
        "cpu": about.get("model name", platform.machine()),
        "vectors": [name for name in allowed if name in flags],
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
