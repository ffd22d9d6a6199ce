"""Bytes that travel in a page: deflated, as base64."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

LEVEL = 1  # a hundred times as fast as zlib's 9, for 5 % more bytes


def blob(content: NDArray[Any]) -> str:
    """The bytes of an array in C-order; the page's own `inflate` undoes it."""
    return base64.b64encode(isal_zlib.compress(np.ascontiguousarray(content).tobytes(), LEVEL)).decode("ascii")


def spike_trains(packed: NDArray[np.uint8], neurons: int) -> NDArray[np.uint8]:
    """From steps of neurons to trains of steps, which deflate a fifth smaller: (T, bytes) -> (neurons, ⌈T/8⌉) uint8."""
    return np.packbits(np.unpackbits(packed, axis=1, count=neurons).T, axis=1)
