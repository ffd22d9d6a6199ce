"""Agreement of two maps of one image: between Poisson seeds, precisions, networks, before and after a change.

The agreement between two seeds of one network is the noise floor: a difference that is smaller counts as noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paper.measures.maps import checked_pair, is_flat
from spikesam.pipeline.measures.maps import TIE, Map, checked
from spikesam.recordings.errors import InputError


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson's correlation over all pixels (and steps): 1 equal up to scale and offset, 0 unrelated, -1 opposite.

    Two flat maps, which are constant up to rounding, agree (1). A flat map and one that is not have nothing in common
    (0).

    Parameters
    ----------
    first, second : (..., H, W), the same shape
    """
    one, other = _pair("Pearson correlation", first, second)
    flat = bool(is_flat(one)), bool(is_flat(other))
    if any(flat):
        return float(all(flat))
    return float(np.clip(np.corrcoef(one.ravel(), other.ravel())[0, 1], -1, 1))


def top_overlap(first: ArrayLike, second: ArrayLike, fraction: float = 0.2) -> float:
    """Intersection over union of the pixels with the highest values, one fifth of each map unless said otherwise.

    Pixels that tie at the border of the set belong to it in part, all to the same degree, so that it has exactly
    fraction · H · W pixels, and IoU = Σ min / Σ max over the degrees of membership. So the order of pixels does not
    matter: a flat map overlaps any other as much as chance would, fraction / (2 - fraction) = 0.11, and another flat
    map fully. Maps that order their pixels alike overlap fully (1), whatever their values.

    Parameters
    ----------
    first, second : (..., H, W), the same shape
    fraction : of the pixels, in (0, 1]
    """
    if not 0 < fraction <= 1:
        raise InputError(f"top overlap: got a share of {fraction}, expected a part of the pixels in 0 … 1, above 0")
    members = [_highest(maps, fraction) for maps in _pair("top overlap", first, second)]
    return float(np.minimum(*members).sum() / np.maximum(*members).sum())


def temporal_centre_of_mass(maps: ArrayLike) -> NDArray[np.float64]:
    """The mean step of maps (..., T, H, W) ≥ 0, weighted by the sum over pixels, Σ_t t·m[t] / Σ_t m[t]: (...) float64.

    A map that is zero at every step has its centre in the middle, (T - 1)/2.
    """
    array = checked("temporal centre of mass", maps, "(..., T, H, W)", positive=True)
    mass = array.sum(axis=(-2, -1), dtype=np.float64)
    total = mass.sum(axis=-1)
    steps = np.arange(mass.shape[-1])
    centre: NDArray[np.float64] = np.where(total > 0, mass @ steps / np.where(total > 0, total, 1), steps.mean())
    return centre


def _pair(where: str, first: ArrayLike, second: ArrayLike) -> tuple[Map, Map]:
    """Both maps, each as one row of float64: (1, n)."""
    one, other = checked_pair(where, first, second)
    return one.reshape(1, -1).astype(np.float64), other.reshape(1, -1).astype(np.float64)


def _highest(maps: Map, fraction: float) -> NDArray[np.float64]:
    """Degree in 0 … 1 to which each value is among the highest; the degrees sum to `fraction` of their number."""
    size = fraction * maps.size
    border = np.sort(maps, axis=None)[-int(np.ceil(size))]
    reach = TIE * np.abs(maps).max()
    above, tied = maps > border + reach, np.abs(maps - border) <= reach
    return above + tied * ((size - above.sum()) / tied.sum())
