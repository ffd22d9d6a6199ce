"""How far a map is from an even grey, and how much it changes from pixel to pixel.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Section 4.3. The paper gives no formulas; what it leaves open is defined here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from paper.measures.maps import min_max
from spikesam.pipeline.measures.maps import checked


def heatmap_variance(maps: ArrayLike) -> float:
    """Variance over pixels of min-max normalised maps (T, H, W), at the step where it is largest.

    At most 0.25 (half the pixels 0, half 1); 0 where every step is flat. It says how far a map is from an even grey,
    not whether it is right.
    """
    scaled = min_max(checked("heatmap variance", maps, "(T, H, W)"))
    return float(scaled.var(axis=(-2, -1), dtype=np.float64).max())


def total_variation(maps: ArrayLike) -> float:
    """Mean difference between neighbouring pixels of min-max normalised maps (T, H, W), at the step where it is most.

        V[t] = mean over pairs of neighbours (right, below) of |P_a - P_b|,   P = min_max(maps[t])

    At most 1 (a chessboard); 0 where every step is flat, and for a map of one pixel. Unlike the variance it depends on
    where the bright pixels are: a map that is bright on one side and dark on the other has variance but hardly varies.
    """
    scaled = min_max(checked("total variation", maps, "(T, H, W)"))
    steps = len(scaled)
    pairs = [np.abs(np.diff(scaled, axis=axis)).reshape(steps, -1) for axis in (1, 2)]
    differences = np.concatenate(pairs, axis=1)
    return float(differences.mean(axis=1, dtype=np.float64).max()) if differences.size else 0.0
