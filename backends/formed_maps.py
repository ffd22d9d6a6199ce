"""Maps that a backend forms itself while it simulates, so that spikes need not leave it: the request and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import BackendError
from spikesam.backends.network import Network
from spikesam.backends.trace import SpikeTrace, spike_trace
from spikesam.recordings.raster.batch import RasterBatch


@dataclass(frozen=True)
class MapRequest:
    """Maps that a backend forms in integers (:mod:`spikesam.backends.trace`), with the decay `gamma` of traces.

    `summed` has layer -> how many first steps are summed, 1 … T; the input may be among the layers. Of the first
    `stepped` samples the map of every step is returned as well; with `spikes`, every spike, too.
    """

    gamma: float
    summed: Mapping[str, int]
    stepped: int = 0
    spikes: bool = False

    def check(self, network: Network, backend: str) -> None:
        """Refuse maps that this network does not have; `backend` is named in the message."""
        if network.precision != "fixed":
            raise BackendError(
                f"{backend}: maps leave the graph in fixed point only; use precision fixed, or record spikes"
            )
        for name, steps in self.summed.items():
            if name not in network.raster_names:
                raise BackendError(f"{backend}: no layer {name!r}; expected some of {', '.join(network.raster_names)}")
            if network.shape_of[name][1:] == (1, 1):
                raise BackendError(f"{backend}: layer {name!r} has no places in the image, and so no map here")
            if not 1 <= steps <= network.timesteps:
                raise BackendError(
                    f"{backend}: {steps} steps of {name} are to be summed, expected 1 to {network.timesteps}"
                )
            self.trace(network, name)

    def trace(self, network: Network, name: str) -> SpikeTrace:
        """Constants of a layer's traces."""
        return spike_trace(self.gamma, network.shape_of[name][0], network.timesteps)


@dataclass(frozen=True)
class FormedMaps:
    """Maps of a sample: sums (H, W) float32 and, of first samples, steps (T, H, W) by layer; spikes if requested."""

    sums: dict[str, NDArray[np.float32]]
    maps: dict[str, NDArray[np.float32]]
    readout: NDArray[Any]
    spikes: RasterBatch | None
