"""Maps and localisation errors of a whole recording, for any number of γ with one decoding of its spikes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.maps.sweep import sweep
from pipeline.measures.attention import EPSILON, lowest_errors
from recordings.parallel import cores
from recordings.raster.reader import RasterReader

from .study import Study

Maps = NDArray[np.float32]
WORKERS = min(4, cores())


def swept(study: Study, path: Path, gammas: Sequence[float]) -> Iterator[dict[str, Maps]]:
    """SAM of one image after the other, in the layers that stand for the paper's 4, 6 and 8.

    Yields
    ------
    layer -> (G, T', H, W), at the steps that can still change the answer
    """
    with RasterReader(path) as raster:
        layers = dict.fromkeys(study.layers(raster))
        what = f"SAM of {raster.n_samples} images, {raster.timesteps} steps, {len(gammas)} γ"
        found: dict[str, Maps] = {}
        with study.progress(what, raster.n_samples) as advance:
            for _, layer, maps in sweep(raster, layers, gammas, range(raster.n_samples), workers=WORKERS):
                found[layer.name] = maps[:, : raster.steps_that_matter(layer.name)]
                if len(found) == len(layers):
                    yield found
                    found = {}
                    advance(1)


def lowest_errors_of(
    study: Study, path: Path, reference: Maps, gammas: Sequence[float], epsilon: float = EPSILON
) -> dict[str, NDArray[np.float64]]:
    """Localisation error of every image, as the paper defines it: layer -> (N, G)."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for of_image, maps in zip(reference, swept(study, path, gammas), strict=True):
        for layer, of_layer in maps.items():
            found.setdefault(layer, []).append(lowest_errors(of_layer, of_image, epsilon))
    return {layer: np.stack(errors) for layer, errors in found.items()}
