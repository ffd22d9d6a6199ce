"""Maps of a recording summed over the steps that matter: the offline path from a raster file to one map per image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sam import steps_that_matter
from pipeline.sam_variants import channel_maps
from recordings.reader import RasterReader

from .lab import Lab


def summed_maps(lab: Lab, path: Path, layers: Sequence[str], gammas: Sequence[float]) -> dict[str, NDArray[np.float32]]:
    """SAM of every layer and γ (∞ counts spikes), summed over channels and steps; cached.

    Returns
    -------
    layer -> (G, N, h, w) float32
    """

    def compute() -> dict[str, NDArray[Any]]:
        with RasterReader(path) as raster, lab.progress("maps", raster.n_samples * len(layers)) as advance:
            maps: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
            for layer in layers:
                for parts in halves(raster, layer, gammas):
                    maps[layer].append(parts.sum(axis=(1, 2)))
                    advance(1)
        return {layer: np.stack(found, axis=1) for layer, found in maps.items()}

    with RasterReader(path) as raster:
        inputs = {"raster": raster.raster_digest, "layers": list(layers), "gammas": [str(gamma) for gamma in gammas]}
    return lab.arrays("summed", inputs, compute)


def halves(raster: RasterReader, layer: str, gammas: Sequence[float]) -> Iterator[NDArray[np.float32]]:
    """Per sample (G, 2, C, h, w): SAM by channel over the earlier and the later half of the steps that matter.

    Those of layer l begin with step l, before which no spike of the image reaches it.
    """
    spec = raster.layer(layer)
    steps = steps_that_matter(raster.timesteps, spec.number, raster.layers[-1].number)
    middle = (min(spec.number, steps) + steps) // 2
    for sample in range(raster.n_samples):
        yield channel_maps(raster.packed(spec, sample)[:steps], spec.shape, gammas, middle)
