"""What layers spend at their places, on the grid of the input."""

from __future__ import annotations

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
    return _along(_along(amounts, size[0]).T, size[1]).T


def _along(amounts: NDArray[Any], pixels: int) -> Floats:
    """The same for rows alone: (h, w) -> (pixels, w)."""
    cells = len(amounts)
    edges = np.arange(pixels + 1) * cells / pixels
    cell = np.minimum(edges.astype(np.int64), cells - 1)  # in which an edge of a pixel lies
    before = np.zeros((cells, *amounts.shape[1:]))  # what the cells above have
    np.cumsum(amounts[:-1], axis=0, out=before[1:])
    found: Floats = np.diff(before[cell] + (edges - cell)[:, None] * amounts[cell], axis=0)
    return found
