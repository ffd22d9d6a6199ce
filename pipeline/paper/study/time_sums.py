"""Maps of a recording summed over the steps that matter: the offline path from a raster file to one map per image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.maps.sam import spike_activation_maps, spike_count_map
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec

from .study import Study


def summed_maps(study: Study, path: Path, layers: Sequence[str]) -> dict[str, NDArray[np.float32]]:
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
                for packed, spec in _samples(raster, layer):
                    sam = spike_activation_maps(packed, spec.shape, (gamma,))[0]
                    maps.append([sam.sum(axis=0), spike_count_map(packed, spec.shape).sum(axis=0)])
                    advance(1)
                found[layer] = np.array(maps).swapaxes(0, 1)
        return found

    with RasterReader(path) as raster:
        inputs = {"raster": raster.raster_digest, "layers": list(layers), "gamma": gamma}
    return study.arrays("summed", inputs, compute)


def _samples(raster: RasterReader, layer: str) -> Iterator[tuple[NDArray[np.uint8], LayerSpec]]:
    """Every sample's packed spikes at the steps that can still change the answer."""
    spec, steps = raster.layer(layer), raster.steps_that_matter(layer)
    for sample in range(raster.n_samples):
        yield raster.packed(spec, sample)[:steps], spec
