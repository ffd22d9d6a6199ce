"""SAM of a whole recording, for any number of γ with one decoding of its spikes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.maps.sam import Variant
from pipeline.maps.sweep import sweep
from recordings.parallel import cores
from recordings.raster.reader import RasterReader

from .study import Study

Maps = NDArray[np.float32]
WORKERS = min(4, cores())


def swept(
    study: Study, path: Path, gammas: Sequence[float], variant: Variant = "paper"
) -> Iterator[tuple[int, str, Maps]]:
    """SAM of every image, in the layers that stand for the paper's 4, 6 and 8.

    Parameters
    ----------
    variant : the kernel, see :func:`pipeline.maps.sam.spike_activation_map`

    Yields
    ------
    image, name of the layer, (G, T', H, W) at the steps that can still change the answer; every layer of an image
    before the next image
    """
    with RasterReader(path) as raster:
        layers, images = study.layers(raster), range(raster.n_samples)
        what = f"SAM of {len(images)} images, {raster.timesteps} steps, {len(gammas)} γ"
        with study.progress(what, len(images) * len(layers)) as advance:
            for image, layer, maps in sweep(raster, layers, gammas, images, variant=variant, workers=WORKERS):
                yield image, layer.name, maps[:, : raster.steps_that_matter(layer)]
                advance(1)


def arrivals(path: Path) -> dict[str, int]:
    """The step at which the image reaches a layer, or its last step that matters: name of the layer -> step."""
    with RasterReader(path) as raster:
        return {layer.name: min(layer.number, raster.steps_that_matter(layer.name) - 1) for layer in raster.layers}
