"""How far a map moves between two versions of an image, such as before and after an attack.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Section 5.7. The paper gives no formulas; what it leaves open is defined here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paper.measures.maps import checked_pair, is_flat, min_max


def heatmap_shift(clean: ArrayLike, attacked: ArrayLike) -> float:
    """Normalised L1 distance between two maps of one image, before and after an attack.

        D = mean over steps and pixels of |min_max(clean) - min_max(attacked)|

    Left open by the paper: each map is min-max normalised by itself, at every step, so that the distance lies between
    0 and 1. Steps at which both maps are flat do not count (0 if all are flat); otherwise silence would look like
    robustness. Identical maps give exactly 0. Where few pixels are lit, the distance is always small: see
    :func:`mass_shift`.

    Parameters
    ----------
    clean, attacked : (..., H, W), the same shape; leading axes are steps, none for the single map of an ANN
    """
    one, other = checked_pair("heatmap shift", clean, attacked)
    distance = np.abs(min_max(one) - min_max(other)).mean(axis=(-2, -1), dtype=np.float64)
    return _mean_where(distance, ~(is_flat(one) & is_flat(other)))


def mass_shift(clean: ArrayLike, attacked: ArrayLike) -> float:
    """The fraction of a map that has moved: L1 distance between maps that sum to 1, halved, mean over steps.

    Unlike :func:`heatmap_shift`, it can compare sparse maps with smooth ones: it is 0 for identical maps, and 1 where
    no pixel is lit in both. Steps at which both maps are zero do not count (0 if all are). Where one of the two is
    zero, the distance is 1. Maps are (..., H, W) ≥ 0.
    """
    one, other = checked_pair("mass shift", clean, attacked, positive=True)
    masses = [each.sum(axis=(-2, -1), dtype=np.float64) for each in (one, other)]
    normalised = [
        each / np.where(mass > 0, mass, 1)[..., None, None] for each, mass in zip((one, other), masses, strict=True)
    ]
    distance = np.abs(normalised[0] - normalised[1]).sum(axis=(-2, -1)) / 2
    return _mean_where(np.where((masses[0] > 0) == (masses[1] > 0), distance, 1), (masses[0] > 0) | (masses[1] > 0))


def _mean_where(values: NDArray[np.float64], taken: NDArray[np.bool_]) -> float:
    return float(values[taken].mean()) if taken.any() else 0.0
