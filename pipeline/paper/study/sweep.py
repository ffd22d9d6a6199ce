"""SAM of a whole recording, for any number of γ with one decoding of its spikes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.maps.sweep import sweep
from recordings.parallel import cores
from recordings.raster.reader import RasterReader

from .study import Study

Maps = NDArray[np.float32]
WORKERS = min(4, cores())


def swept(study: Study, path: Path, gammas: Sequence[float]) -> Iterator[dict[str, Maps]]:
    """SAM of one image after the other, in the layers that stand for the paper's 4, 6 and 8.

    Yields
    ------
    name of the layer -> (G, T', H, W), at the steps that can still change the answer
    """
    with RasterReader(path) as raster:
        layers = study.layers(raster)
        what = f"SAM of {raster.n_samples} images, {raster.timesteps} steps, {len(gammas)} γ"
        found: dict[str, Maps] = {}
        with study.progress(what, raster.n_samples) as advance:
            for _, layer, maps in sweep(raster, layers, gammas, range(raster.n_samples), workers=WORKERS):
                found[layer.name] = maps[:, : raster.steps_that_matter(layer.name)]
                if len(found) == len(layers):
                    yield found
                    found = {}
                    advance(1)


def arrivals(path: Path) -> dict[str, int]:
    """The step at which the image reaches a layer, or its last step that matters: name of the layer -> step."""
    with RasterReader(path) as raster:
        return {layer.name: min(layer.number, raster.steps_that_matter(layer.name) - 1) for layer in raster.layers}
