"""Lava as a backend; importing this package does not import Lava."""

from .backend import LavaBackend

__all__ = ["LavaBackend"]
