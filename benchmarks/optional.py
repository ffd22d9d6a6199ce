"""Peers that may not be here, and what to do about it."""

from __future__ import annotations

from importlib.util import find_spec

from spikesam.backends.base import BackendError
from spikesam.backends.lava.backend import LavaBackend

LOOP = "PyTorch loop"  # a peer in simulation that is always here


def missing(benchmark: str) -> str:
    """Why rows of a benchmark are left out, in one line; nothing if none are."""
    if benchmark == "lava":
        return missing_lava()
    return missing_spikingjelly() if benchmark in ("quick", "simulate", "graphs", "train", "record") else ""


def missing_lava() -> str:
    """Why Lava cannot run; nothing if it can."""
    try:
        LavaBackend()
    except BackendError as error:
        return str(error)
    return ""


def missing_spikingjelly() -> str:
    """Why SpikingJelly cannot run; nothing if it can."""
    if find_spec("spikingjelly"):
        return ""
    return "spikingjelly: not installed; make setup installs it"
