"""Spike Activation Maps of a raster's samples, as :func:`pipeline.maps.method.write_maps` takes them.

Needs the raster alone: no image, no network, neither torch nor lava.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.trace import spike_trace
from recordings.errors import InputError
from recordings.maps.schema import MAPS, MapHeader, MapLayer
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec, RasterHeader
from recordings.schema import MAX_DATASET_BYTES, SampleTable

from .fixed_sam import explain_fixed
from .method import Explained
from .sam import AnyVariant, spike_activation_maps
from .sam_sum import spike_activation_sum


@dataclass(frozen=True)
class SpikeActivationMaps:
    """SAM of every sample of a raster, a :class:`pipeline.maps.method.MapMethod`.

    Parameters
    ----------
    raster : an open raster
    layers : of the raster, with a spatial extent
    gamma, variant, include_current : the kernel, see :func:`pipeline.maps.sam.spike_activation_map`
    steps, stepped : which maps are kept step by step, see :func:`pipeline.maps.steps.kept_steps`
    """

    raster: RasterReader
    layers: tuple[LayerSpec, ...]
    gamma: float = 0.5
    variant: AnyVariant = "paper"
    include_current: bool = True
    steps: tuple[int, ...] = ()
    stepped: int = 0

    def __post_init__(self) -> None:
        if self.variant == "fixed":
            for layer in self.layers:
                spike_trace(self.gamma, layer.shape[0], self.raster.timesteps)  # refuses what could overflow
        largest = max(self.layers, key=self._map_bytes)
        if self._map_bytes(largest) > MAX_DATASET_BYTES:
            raise InputError(
                f"{self.raster.where}: maps of {largest.name} up to step {self.steps[-1]} take "
                f"{self._map_bytes(largest):,} bytes a sample, expected at most {MAX_DATASET_BYTES:,}; "
                "keep earlier steps, or none"
            )

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        parameters = {"gamma": self.gamma, "variant": self.variant, "include_current": self.include_current}
        return map_header("sam", self.raster, self.layers, parameters, self.steps, self.stepped)

    @property
    def samples(self) -> SampleTable:
        """The raster's."""
        return self.raster.samples

    @property
    def sample_bytes(self) -> int:
        """What explaining one sample takes: what is kept of it, and of one layer the maps and the packed spikes."""
        layers = [self._map_bytes(layer) + self.raster.timesteps * layer.step_bytes for layer in self.layers]
        return self.header.sample_bytes + max(layers)

    def explain(self, sample: int) -> Explained:
        """Prediction, sums and, of the first samples, maps."""
        return explain_spikes(
            self.header, self.layers, lambda layer: self.raster.packed(layer, sample), sample, self._prediction(sample)
        )

    def _prediction(self, sample: int) -> int:
        return int(self.raster.predictions[sample])

    @property
    def _last(self) -> int:
        """Up to which step maps are made; later spikes change none of them."""
        return self.steps[-1] + 1 if self.steps else 0

    def _map_bytes(self, layer: LayerSpec) -> int:
        """Bytes of the maps of a sample in one layer, of all steps up to the last that is kept."""
        return MAPS.dtype.itemsize * self._last * math.prod(layer.shape[1:])


def map_header(
    method: str,
    raster: RasterReader,
    layers: Iterable[LayerSpec],
    parameters: Mapping[str, Any],
    steps: tuple[int, ...],
    stepped: int,
) -> MapHeader:
    """What a file of maps of a raster's layers says of them; see :class:`recordings.maps.schema.MapHeader`."""
    source, of_layers = raster.raster_digest, map_layers(raster.header, layers)
    return MapHeader(method, source, parameters, raster.timesteps, of_layers, steps, stepped)


def map_layers(header: RasterHeader, layers: Iterable[LayerSpec]) -> tuple[MapLayer, ...]:
    """What a file of maps says of layers of a raster with this header."""
    return tuple(
        MapLayer(layer.name, layer.number, layer.shape[1:], header.steps_that_matter(layer)) for layer in layers
    )


def explain_spikes(
    header: MapHeader,
    layers: Sequence[LayerSpec],
    packed: Callable[[LayerSpec], NDArray[np.uint8]],
    sample: int,
    prediction: int,
) -> Explained:
    """SAM of one sample, one layer at a time.

    Parameters
    ----------
    header : of the maps; its first `stepped` samples get maps step by step
    layers : those of the raster that it names, in the same order
    packed : layer -> (T, bytes) uint8, the sample's spikes
    sample : its position among those of `header`
    prediction : the class that the network chose
    """
    if header.parameters["variant"] == "fixed":
        return explain_fixed(header, layers, packed, sample, prediction)
    sums = {}
    kernel = dict(header.parameters)
    gamma = kernel.pop("gamma")
    for layer, of_layer in zip(layers, header.layers, strict=True):
        steps = of_layer.steps_that_matter
        sums[layer.name] = spike_activation_sum(packed(layer), layer.shape, gamma, steps, **kernel)
    return Explained(prediction, sums, maps_of_steps(header, layers, packed, sample))


def maps_of_steps(
    header: MapHeader, layers: Sequence[LayerSpec], packed: Callable[[LayerSpec], NDArray[np.uint8]], sample: int
) -> dict[str, NDArray[np.float32]]:
    """SAM of one sample at the steps that are kept, nothing of samples behind the first `stepped`.

    Parameters are those of :func:`explain_spikes`.

    Returns
    -------
    layer -> (S, H, W) float32
    """
    maps = dict[str, NDArray[np.float32]]()
    if sample >= header.stepped:
        return maps
    kernel = dict(header.parameters)
    gamma = kernel.pop("gamma")
    last = header.steps[-1] + 1  # later spikes change none of the maps that are kept
    for layer in layers:
        (at_steps,) = spike_activation_maps(packed(layer)[:last], layer.shape, [gamma], **kernel)
        every = len(at_steps) == len(header.steps)  # then there is no need for a copy
        maps[layer.name] = at_steps if every else at_steps[list(header.steps)]
    return maps
