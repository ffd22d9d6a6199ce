"""Maps of a recording summed over the steps that matter: from a raster file to one map per image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.raster.reader import RasterReader

from .heatmaps import count_maps, sam_maps
from .study import Study


def time_sums(study: Study, path: Path, layers: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """SAM of every layer, with the settings' γ, and the spike count, both summed over steps; cached.

    Returns
    -------
    layer -> (2, N, h, w) float32: SAM, then the count
    """
    gamma = study.settings.gamma

    def compute() -> dict[str, NDArray[Any]]:
        found = {}
        with RasterReader(path) as raster, study.progress("maps", raster.n_samples * len(layers)) as advance:
            for layer in layers:
                maps = []
                for sample in range(raster.n_samples):
                    both = sam_maps(raster, layer, sample, gamma), count_maps(raster, layer, sample)
                    maps.append([each.sum(axis=0) for each in both])
                    advance(1)
                found[layer] = np.array(maps).swapaxes(0, 1)
        return found

    with RasterReader(path) as raster:
        inputs = {"raster": raster.raster_digest, "layers": list(layers), "gamma": gamma}
    return study.stages.arrays("time-sums", inputs, compute)
