"""Measures of a map against an object, as arrays: what :func:`spikesam.measure` computes of files.

:func:`pointing_game`, :func:`energy_in_object` and :func:`iou` take maps (..., H, W) and a mask
(H, W), and give a number in 0 … 1 for each map; :data:`MEASURES` has them by name.
:func:`centred_box` and :func:`centred_gaussian` are guesses at the object that see no image.

For measures of your own: :func:`checked_maps` refuses what is no map, :func:`resize_map` brings
maps to the size of an image, :func:`overlaps` says which cells of two grids lie on each other, and
values that differ by less than :data:`TIE` (relative) are equal. :data:`Map` and :data:`Mask` are
the types.

Examples
--------
>>> import numpy as np
>>> from spikesam.measures import energy_in_object, resize_map
>>> heatmap = resize_map(np.array([[3.0, 1.0]]), (2, 4))
>>> heatmap[0]
array([3. , 2.5, 1.5, 1. ])
>>> left_half = np.array([[True, True, False, False]] * 2)
>>> float(energy_in_object(heatmap, left_half))
0.6875
"""

from __future__ import annotations

from spikesam.pipeline.measures.localisation import (
    MEASURES,
    centred_box,
    centred_gaussian,
    energy_in_object,
    iou,
    pointing_game,
)
from spikesam.pipeline.measures.maps import TIE, Map, Mask, checked_maps, overlaps, resize_map

__all__ = [
    "MEASURES",
    "TIE",
    "Map",
    "Mask",
    "centred_box",
    "centred_gaussian",
    "checked_maps",
    "energy_in_object",
    "iou",
    "overlaps",
    "pointing_game",
    "resize_map",
]
