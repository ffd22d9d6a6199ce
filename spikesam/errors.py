"""One line for bad input: the place, what was found, what would be right.

Functions raise :class:`spikesam.InputError` with such a line, and :func:`at` adds the place on the
way up:

    with at("layer 'conv1'"):
        raise InputError("got 3 gains, expected one or 16")

:func:`did_you_mean` adds the name that is near, :func:`printable` makes a text safe for a line.
"""

from __future__ import annotations

from spikesam.common.errors import at, did_you_mean
from spikesam.common.text import printable

__all__ = ["at", "did_you_mean", "printable"]
