"""What layers spend at their places, on the grid of the input."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def spread(amounts: NDArray[Any], size: tuple[int, int]) -> Floats:
    """Spread each cell's amount evenly over the part of another grid that it covers; the sum stays.

    A cell (i, j) of h×w covers the rows i·H/h … (i+1)·H/h and the columns j·W/w … (j+1)·W/w of H×W pixels, in parts
    where these are no whole numbers.

    Parameters
    ----------
    amounts : (h, w)
    size : (H, W)

    Returns
    -------
    (H, W) float64
    """
    rows, columns = (_shares(*sides) for sides in zip(amounts.shape, size, strict=True))
    spread_out: Floats = rows @ amounts @ columns.T
    return spread_out


@lru_cache(maxsize=64)
def _shares(cells: int, pixels: int) -> Floats:
    """Share of each cell of a row in each pixel: (pixels, cells), every column adds up to 1."""
    edges = np.arange(pixels + 1)[:, None] * cells / pixels - np.arange(cells)  # pixels' edges, from each cell's begin
    return np.diff(np.clip(edges, 0, 1), axis=0)
