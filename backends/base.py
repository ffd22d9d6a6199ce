"""The contract every backend keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.backends.trace import SpikeTrace, spike_trace
from spikesam.common.errors import InputError
from spikesam.recordings.raster.batch import PackedSpikes, RasterBatch

# The input of a network for some samples: spikes, packed or (T, B, C, H, W); or what drives the
# first layer, int8: (B, C, H, W) of a constant current, (T, B, C, H, W) of a changing one. For an
# ANN, which no backend runs, images are float32.
InputBatch: TypeAlias = PackedSpikes | NDArray[np.bool_] | NDArray[np.int8] | NDArray[np.float32]


class BackendError(InputError):
    """A backend cannot run here, or its simulation failed; one line says why."""


def refuse_other_devices(backend: str, device: str) -> None:
    """Refuse a device for a backend that has none but the CPU."""
    if device not in ("auto", "cpu"):
        raise BackendError(
            f"{backend}: device is {device!r}, expected auto or cpu; it simulates on the CPU"
        )


def batch_size(batch: InputBatch) -> int:
    """Number of samples in a batch."""
    return len(batch) if isinstance(batch, PackedSpikes) else batch.shape[-4]


def unpacked(batch: InputBatch) -> NDArray[Any]:
    """A batch as an array: packed spikes become (T, B, C, H, W) bool, arrays stay as they are."""
    return batch.unpacked() if isinstance(batch, PackedSpikes) else batch


def packed_spikes(backend: str, network: Network, batch: InputBatch) -> PackedSpikes:
    """A batch of spikes, packed or (T, B, C, H, W) bool, as packed; a BackendError if it does not
    fit the network.
    """
    dtype: Any = np.dtype(np.bool_)
    if isinstance(batch, PackedSpikes):
        shape: tuple[int, ...] = (batch.timesteps, *batch.map_shape)
    else:
        shape, dtype = batch.shape[:1] + batch.shape[2:], batch.dtype
    expected = (network.timesteps, *network.input_shape)
    if shape != expected or dtype != np.bool_:
        raise BackendError(
            f"{backend}: got input samples of (T, C, H, W) = {shape} {dtype}, expected {expected} "
            "bool"
        )
    return (
        batch
        if isinstance(batch, PackedSpikes)
        else PackedSpikes.of(batch.astype(np.bool_, copy=False))
    )


@dataclass(frozen=True)
class MapRequest:
    """Maps that a backend forms in integers (:mod:`spikesam.backends.trace`), with the decay
    `gamma` of traces.

    `summed` has layer -> how many first steps are summed, 1 … T: layers that have places, the input
    among them. Of the first `stepped` samples the map of every step is returned as well.
    """

    gamma: float
    summed: Mapping[str, int]
    stepped: int = 0

    def trace(self, network: Network, name: str) -> SpikeTrace:
        """Constants of a layer's traces."""
        return spike_trace(self.gamma, network.shape_of[name][0], network.timesteps)


@dataclass(frozen=True)
class FormedMaps:
    """Maps of a sample: sums (H, W) float32 and, of first samples, steps (T, H, W) by layer."""

    sums: dict[str, NDArray[np.float32]]
    maps: dict[str, NDArray[np.float32]]
    readout: NDArray[Any]


class Backend(ABC):
    """A simulator of :class:`Network`; see :mod:`spikesam.backends.available` for how it is found
    and made.

    `name` and `device` say where it simulates, in files and for people; `forms_maps` that it has
    :meth:`run_maps`.
    """

    name: str
    device: str = "cpu"
    forms_maps: ClassVar[bool] = False

    def prepare(self, network: Network) -> None:  # noqa: B027  may do nothing
        """Do in advance what this network needs once, such as compiling kernels; else :meth:`run`
        does it.
        """

    @abstractmethod
    def run(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[RasterBatch]:
        """Simulate samples one after the other, each from zero state, and yield their rasters in
        order.

        Batches hold spikes, packed or (T, B, C, H, W) bool, or int8 numbers of a current in -127 …
        127, (B, C, H, W) images or (T, B, C, H, W), `n_samples` in all; B ≤ 16 may vary; consumed
        lazily, so memory stays flat. Rasters have the keys of `network.raster_names`, in that
        order, in batches that need not match. In fixed point the yielded bits are a function of
        `network` and `inputs` alone: the same on every backend, device and batch size.
        """

    def calls(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[tuple[int, Callable[[], RasterBatch]]]:
        """Simulate samples as :meth:`run`, where any thread may do it: who simulates a sample can
        go on with it.

        Yields the number of the next samples, and what gives their rasters when it is called, once,
        in any thread.
        """
        for batch in self.run(network, inputs, n_samples):
            for row in range(len(batch)):
                yield 1, partial(_one_sample, batch, row)

    def run_maps(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int, request: MapRequest
    ) -> Iterator[FormedMaps]:
        """Simulate samples as :meth:`run`, and yield the maps formed meanwhile, in fixed point."""
        raise BackendError(f"{self.name}: forms no maps")


def _one_sample(batch: RasterBatch, row: int) -> RasterBatch:
    return RasterBatch(
        {name: bits[row, None] for name, bits in batch.spikes.items()}, batch.readout[row, None]
    )
