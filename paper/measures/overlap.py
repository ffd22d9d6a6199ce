"""How well a map finds the object, whatever the scale of its values: only the order of its pixels counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.measures.maps import TIE, Map, Mask, checked


def iou_at_area(maps: Map, mask: Mask) -> NDArray[np.float64]:
    """Overlap of the object with the map's highest pixels, as many as the object has: intersection over union.

    Like in the pointing game, only the order of the pixels counts. Squaring a map, or subtracting a constant from it,
    raises energy in the object and IoU although the map shows nothing new; here it changes nothing. Pixels that are
    equal at the limit all count in part.

    Parameters
    ----------
    maps : (..., H, W)
    mask : (H, W) bool, not empty
    """
    values, inside = checked("IoU", maps), mask.ravel()
    values = values.reshape(*values.shape[:-2], -1)
    if not (area := int(mask.sum())):
        return np.zeros(values.shape[:-1])[()]
    limit = np.partition(values, -area, axis=-1)[..., -area, None]
    above, tied = values > limit * (1 + TIE), np.abs(values - limit) <= np.abs(limit) * TIE
    share = (tied & inside).sum(axis=-1) / tied.sum(axis=-1)
    overlap = (above & inside).sum(axis=-1) + (area - above.sum(axis=-1)) * share
    return np.where(values.max(axis=-1) > 0, overlap / (2 * area - overlap), 0.0)[()]
