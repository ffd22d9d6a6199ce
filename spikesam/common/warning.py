"""Warnings that show the line of the user that led to them."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

# Packages between that line and a warning: this one, and those that call it back.
BETWEEN = frozenset({"spikesam", "contextlib", "torch", "numba"})


def warn(text: str) -> None:
    """Warn, at the line of the caller's caller that lies outside of this package.

    Parameters
    ----------
    text : the warning, with the name of the public function in front
    """
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and _package(frame) in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level if frame is not None else 2)


def _package(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]
