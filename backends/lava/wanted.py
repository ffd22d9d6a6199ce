"""Which maps leave a graph, and how a sample's bytes are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backends.base import BackendError
from backends.network import Network, Shape
from backends.trace import STEP_TYPE, SUM_TYPE, SpikeTrace, maps_of_packed, spike_trace
from recordings.raster.batch import RasterBatch

if TYPE_CHECKING:
    from .process.maps import WantedLayer

# By ("bits", "maps", "sum" or "readout", name of the layer): dtype and shape of what leaves of a sample, and itself.
Parts: TypeAlias = dict[tuple[str, str], tuple[Any, tuple[int, ...]]]
Arrays: TypeAlias = dict[tuple[str, str], NDArray[Any]]


@dataclass(frozen=True)
class WantedMaps:
    """Maps that leave a graph.

    Parameters
    ----------
    gamma : γ, decay of traces per step
    summed : layer -> how many first steps are summed, 1 … T; the input may be among them
    stepped : how many first samples' maps leave step by step as well
    spikes : whether every spike leaves, too
    """

    gamma: float
    summed: Mapping[str, int]
    stepped: int = 0
    spikes: bool = False

    def check(self, network: Network) -> None:
        """Refuse what a graph cannot give.

        Raises
        ------
        BackendError : if a layer is unknown or dense, or has not as many steps, or the network is not in fixed point
        InputError : as :func:`backends.trace.spike_trace`
        """
        if network.precision != "fixed":
            raise BackendError("lava: maps leave the graph in fixed point only; use precision fixed, or record spikes")
        for name, steps in self.summed.items():
            if name not in network.raster_names:
                raise BackendError(f"lava: no layer {name!r}; expected some of {', '.join(network.raster_names)}")
            if network.raster_kinds[name] == "dense":
                raise BackendError(f"lava: layer {name!r} is dense, its neurons have no place in the image and no map")
            if not 1 <= steps <= network.timesteps:
                raise BackendError(f"lava: {steps} steps of {name} are to be summed, expected 1 to {network.timesteps}")
            self.trace(network, name)

    def trace(self, network: Network, name: str) -> SpikeTrace:
        """Constants of a layer's traces."""
        return spike_trace(self.gamma, _shape(network, name)[0], network.timesteps)

    def of_layer(self, network: Network, name: str) -> WantedLayer | None:
        """What the layer's process is told; None if it has no maps."""
        from .process.maps import WantedLayer

        if name not in self.summed:
            return None
        return WantedLayer(self.trace(network, name), self.summed[name], self.stepped)

    def of_neurons(self, network: Network) -> list[str]:
        """The layers whose maps leave the graph. The input's do not: whoever sends its spikes has them."""
        return [layer.name for layer in network.layers if layer.name in self.summed]

    def of_input(self, network: Network) -> bool:
        """Whether the input is among the layers."""
        return len(self.of_neurons(network)) < len(self.summed)

    def input_maps(self, network: Network, sample: int, packed: NDArray[np.uint8]) -> Arrays:
        """Maps of a sample's input as they would leave; `packed` is (T, bytes), its spikes."""
        name, shape = network.raster_names[0], network.input_shape
        steps = network.timesteps if sample < self.stepped else 0
        maps, total = maps_of_packed(packed, shape, self.trace(network, name), self.summed[name], steps)
        return {("maps", name): maps.reshape(-1, *shape[1:]), ("sum", name): total.reshape(shape[1:])}

    def unpacked(self, network: Network, sample: int, arrays: Arrays) -> GraphMaps:
        """What left of a sample, in numbers that people know."""
        traces = {name: self.trace(network, name) for name in self.summed}
        stepped = traces.items() if sample < self.stepped else ()
        return GraphMaps(
            {name: trace.of_sum(arrays["sum", name]) for name, trace in traces.items()},
            {name: trace.of_steps(arrays["maps", name]) for name, trace in stepped},
            arrays["readout", ""],
            raster_of(network, arrays) if self.spikes else None,
        )


@dataclass(frozen=True)
class GraphMaps:
    """What leaves of one sample.

    Parameters
    ----------
    sums : layer -> (H, W) float32 — SAM over the steps that are summed
    maps : layer -> (T, H, W) float32 — SAM step by step; empty for all samples but the first ones
    readout : (K,) int32
    spikes : of all layers, as one sample; None if they stayed in the graph
    """

    sums: dict[str, NDArray[np.float32]]
    maps: dict[str, NDArray[np.float32]]
    readout: NDArray[Any]
    spikes: RasterBatch | None


def parts_of(network: Network, wanted: WantedMaps | None, sample: int) -> Parts:
    """What the recorder sends of a sample, in order; see :class:`backends.lava.process.recorder.Recorder`.

    Parameters
    ----------
    wanted : maps that leave; without, rasters do
    sample : its number

    Returns
    -------
    dtype and shape of each array
    """
    timesteps = network.timesteps
    parts: Parts = {}
    if wanted is None or wanted.spikes:
        for name, size in zip(network.raster_names, network.raster_bytes, strict=True):
            parts["bits", name] = np.uint8, (timesteps, size)
    for name in wanted.of_neurons(network) if wanted else ():
        _, height, width = _shape(network, name)
        if wanted and sample < wanted.stepped:
            parts["maps", name] = STEP_TYPE, (timesteps, height, width)
        parts["sum", name] = SUM_TYPE, (height, width)
    parts["readout", ""] = np.int32 if network.precision == "fixed" else np.float32, (network.classes,)
    return parts


def size_of(parts: Parts) -> int:
    """Bytes of all arrays."""
    return sum(np.dtype(kind).itemsize * prod(shape) for kind, shape in parts.values())


def opened(message: bytearray, parts: Parts) -> Arrays:
    """The arrays of a message."""
    arrays: Arrays = {}
    start = 0
    for key, (kind, shape) in parts.items():
        arrays[key] = np.frombuffer(message, kind, prod(shape), start).reshape(shape)
        start += arrays[key].nbytes
    return arrays


def raster_of(network: Network, arrays: Arrays) -> RasterBatch:
    """The spikes and the readout of a sample."""
    spikes = {name: arrays["bits", name][None] for name in network.raster_names}
    return RasterBatch(spikes=spikes, readout=arrays["readout", ""][None])


def _shape(network: Network, name: str) -> Shape:
    """(C, H, W) of a layer."""
    return network.raster_shapes[network.raster_names.index(name)]
