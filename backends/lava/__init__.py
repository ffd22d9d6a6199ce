"""Lava as a backend; importing this package does not import Lava."""

from spikesam.backends.lava.backend import LavaBackend

__all__ = ["LavaBackend"]
