"""How far heatmaps move when their images are attacked, and how far SAM moves by itself, from Poisson seed to seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.measures.attention import heatmap_shift, mass_shift
from recordings.reader import RasterReader

from .heatmaps import Maps, sam_maps
from .lab import Lab

Shift = Callable[[Maps, Maps], float]

STEPWISE = "heatmap shift"
MEASURES: Mapping[str, Shift] = {
    STEPWISE: heatmap_shift,
    "heatmap shift, summed over steps": lambda before, after: heatmap_shift(before.sum(axis=0), after.sum(axis=0)),
    "mass shift": mass_shift,
    "mass shift, summed over steps": lambda before, after: mass_shift(before.sum(axis=0), after.sum(axis=0)),
}


def grad_cam_shifts(before: Maps, after: Maps) -> dict[str, NDArray[np.float64]]:
    """Of every image, by every measure; a Grad-CAM is one map, so that summing over steps changes nothing.

    Parameters
    ----------
    before, after : (N, h, w)

    Returns
    -------
    measure -> (N,)
    """
    pairs = [(one[None], other[None]) for one, other in zip(before, after, strict=True)]
    return {name: np.array([measure(*pair) for pair in pairs]) for name, measure in MEASURES.items()}


def sam_shifts(lab: Lab, before: RasterReader, after: RasterReader, layer: str) -> dict[str, NDArray[np.float64]]:
    """Of every image in one layer, by every measure: measure -> (N,)."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    with lab.progress(f"shift of SAM at {layer[4:]}", before.n_samples) as advance:
        for image in range(before.n_samples):
            maps = [sam_maps(raster, layer, image, lab.settings.gamma) for raster in (before, after)]
            for name, measure in MEASURES.items():
                found[name].append(measure(maps[0], maps[1]))
            advance(1)
    return {name: np.array(values) for name, values in found.items()}
