"""SAM of a whole recording, for any number of γ with one decoding of its spikes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper.common.setup import Setup
from spikesam.pipeline.maps.sam import Variant, spike_activation_maps
from spikesam.recordings.parallel import cores, in_order
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec

Maps = NDArray[np.float32]
WORKERS = min(4, cores())


def swept(
    setup: Setup, path: Path, gammas: Sequence[float], variant: Variant = "paper"
) -> Iterator[tuple[int, str, Maps]]:
    """SAM of every image, in the layers that stand for the paper's 4, 6 and 8.

    Yields
    ------
    image, name of the layer, (G, T', H, W) at the steps that can still change the answer; every layer of an image
    before the next image
    """
    with RasterReader(path) as raster:
        layers, images = setup.layers(raster), range(raster.n_samples)
        what = f"SAM of {len(images)} images, {raster.timesteps} steps, {len(gammas)} γ"
        with setup.progress(what, len(images) * len(layers)) as advance:
            for image, layer, maps in sweep(raster, layers, gammas, images, variant=variant, workers=WORKERS):
                yield image, layer.name, maps[:, : raster.steps_that_matter(layer)]
                advance(1)


def arrivals(path: Path) -> dict[str, int]:
    """The step at which the image reaches a layer, or its last step that matters: name of the layer -> step."""
    with RasterReader(path) as raster:
        return {layer.name: min(layer.number, raster.steps_that_matter(layer.name) - 1) for layer in raster.layers}


def sweep(
    raster: RasterReader,
    layers: Iterable[str | int | LayerSpec],
    gammas: Sequence[float],
    samples: Iterable[int],
    *,
    variant: Variant = "paper",
    workers: int = 1,
) -> Iterator[tuple[int, LayerSpec, NDArray[np.float32]]]:
    """Maps of several γ: sample, layer, (G, T, H, W), every layer of a sample before the next sample.

    The raster is read once, and held one layer of one sample at a time; `workers` threads work ahead, at most as many
    layers and one. Keep the raster open until the last map was taken.
    """

    def explain(chosen: tuple[int, LayerSpec]) -> tuple[int, LayerSpec, NDArray[np.float32]]:
        sample, layer = chosen
        packed = raster.packed(layer, sample)
        maps = spike_activation_maps(packed, layer.shape, gammas, variant=variant)
        return sample, layer, maps

    return in_order(explain, product(samples, [raster.layer(layer) for layer in layers]), workers)
