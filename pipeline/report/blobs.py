"""Bytes that travel in a page: deflated, as base64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def blob(content: NDArray[Any]) -> str:
    """The bytes of an array in C-order; the page's own `inflate` undoes it."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(content).tobytes(), 9)).decode("ascii")


def spike_trains(packed: NDArray[np.uint8], neurons: int) -> NDArray[np.uint8]:
    """From steps of neurons to trains of steps, which deflate a fifth smaller: (T, bytes) -> (neurons, ⌈T/8⌉) uint8."""
    return np.packbits(np.unpackbits(packed, axis=1, count=neurons).T, axis=1)
