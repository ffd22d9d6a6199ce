"""SAM over a range of γ, each spike decoded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from recordings.parallel import in_order
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec

from .sam import Variant, spike_activation_maps


def sweep(
    raster: RasterReader,
    layers: Iterable[str | int | LayerSpec],
    gammas: Sequence[float],
    samples: Iterable[int],
    *,
    include_current: bool = True,
    variant: Variant = "paper",
    workers: int = 1,
) -> Iterator[tuple[int, LayerSpec, NDArray[np.float32]]]:
    """Maps of several γ from a recorded raster, which is read once and held one layer of one sample at a time.

    Parameters
    ----------
    raster : an open raster file; keep it open until the last map was taken
    layers : with a spatial extent
    gammas : G decays of the kernel, 1/step
    samples : positions in the raster
    include_current, variant : see :func:`pipeline.maps.sam.spike_activation_map`
    workers : threads that work ahead, at most `workers` + 1 layers

    Yields
    ------
    sample, layer, (G, T, H, W) float32: every layer of a sample before the next sample. Maps are causal: those of the
    first T' steps are the first T' maps

    Raises
    ------
    InputError : as :func:`pipeline.maps.sam.spike_activation_maps`, or if a layer or sample is missing or damaged
    """

    def explain(chosen: tuple[int, LayerSpec]) -> tuple[int, LayerSpec, NDArray[np.float32]]:
        sample, layer = chosen
        packed = raster.packed(layer, sample)
        maps = spike_activation_maps(packed, layer.shape, gammas, include_current=include_current, variant=variant)
        return sample, layer, maps

    return in_order(explain, product(samples, [raster.layer(layer) for layer in layers]), workers)
