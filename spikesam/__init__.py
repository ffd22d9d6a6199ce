"""spikesam: see what a spiking neural network looks at."""

from __future__ import annotations

from importlib import metadata

__all__ = ["__version__"]
__version__: str


def __getattr__(name: str) -> str:
    """The version of the installed package, looked up when it is asked for."""
    if name == "__version__":
        return metadata.version("spikesam")
    raise AttributeError(f"module 'spikesam' has no attribute {name!r}")
