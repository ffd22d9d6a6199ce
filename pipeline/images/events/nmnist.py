"""The files of N-MNIST and N-Caltech101."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError

from .events import Events, check_count

EVENT_BYTES = 5
OVERFLOW_Y, OVERFLOW_US = 240, 1 << 13  # such an event is none: times after it are later by so much


def parse_nmnist(data: bytes, sensor: tuple[int, int]) -> Events:
    """Five bytes an event: x, y, a bit of polarity and 23 bits of time in µs, the highest first.

    Raises
    ------
    InputError : if a part of an event is missing, or as :class:`Events` raises it

    References
    ----------
    Orchard et al. 2015, Converting static image datasets to spiking neuromorphic datasets using saccades.
    """
    if len(data) % EVENT_BYTES:
        raise InputError(
            f"{len(data):,} bytes are no whole number of events of {EVENT_BYTES} bytes; "
            "the file is truncated, or not in the format of N-MNIST"
        )
    check_count(len(data) // EVENT_BYTES)
    columns: NDArray[np.int64] = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES).T.astype(np.int64)
    x, y, high, middle, low = columns
    overflow = y == OVERFLOW_Y
    t = ((high & 127) << 16) + (middle << 8) + low + OVERFLOW_US * np.cumsum(overflow)
    kept = ~overflow
    return Events(t[kept], x[kept], y[kept], high[kept] >= 128, sensor)
