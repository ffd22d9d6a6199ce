"""Arrays and maps as text that a page can hold."""

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


def heat_map(heat: NDArray[Any], signed: bool = False) -> dict[str, Any]:
    """A map (H, W) in 256 levels, enough for a picture: 0 to `most`, or with signs -most to most, 128 being 0."""
    most = float(np.abs(heat).max())
    levels = np.rint(heat * ((127 if signed else 255) / most if most > 0 else 0)) + 128 * signed
    return {"shape": heat.shape, "most": most, "levels": blob(levels.astype(np.uint8))}
