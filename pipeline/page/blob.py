"""Arrays as text that a page can hold."""

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
