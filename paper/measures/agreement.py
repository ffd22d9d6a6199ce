"""Agreement of two maps of one image, before and after a change."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from paper.measures.maps import checked_pair, is_flat


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson's correlation over all pixels (and steps): 1 equal up to scale and offset, 0 unrelated, -1 opposite.

    Two flat maps, which are constant up to rounding, agree (1). A flat map and one that is not have nothing in common
    (0).

    Parameters
    ----------
    first, second : (..., H, W), the same shape
    """
    pair = checked_pair("Pearson correlation", first, second)
    one, other = (maps.reshape(1, -1).astype(np.float64) for maps in pair)
    flat = bool(is_flat(one)), bool(is_flat(other))
    if any(flat):
        return float(all(flat))
    return float(np.clip(np.corrcoef(one, other)[0, 1], -1, 1))
