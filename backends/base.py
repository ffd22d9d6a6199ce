"""The contract every backend keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError
from recordings.raster.batch import RasterBatch

from .network import Network

InputBatch = NDArray[np.bool_] | NDArray[np.int8] | NDArray[np.float32]  # float32 for ANNs, which no backend runs


class BackendError(InputError):
    """A backend cannot run here, or its simulation failed; one line says why."""


def check_spikes(backend: str, network: Network, batch: NDArray[Any]) -> None:
    """Refuse spikes of another shape or dtype than (T, B, C, H, W) bool of the network's T and input.

    Raises
    ------
    BackendError
    """
    expected, found = (network.timesteps, *network.input_shape), (batch.shape[:1] + batch.shape[2:])
    if found != expected or batch.dtype != np.bool_:
        raise BackendError(
            f"{backend}: got input samples of (T, C, H, W) = {found} {batch.dtype}, expected {expected} bool"
        )


class Backend(Protocol):
    """A simulator of :class:`Network`."""

    name: str
    device: str

    def prepare(self, network: Network) -> None:
        """Do what this network needs once, such as compiling kernels; what is not done here, :meth:`run` does."""
        ...

    def run(self, network: Network, inputs: Iterable[InputBatch], n_samples: int) -> Iterator[RasterBatch]:
        """Simulate samples one after the other, each from zero state, and yield their rasters in order.

        Parameters
        ----------
        inputs : batches of spikes, (T, B, C, H, W) bool, or of images for a network with constant-current input,
            (B, C, H, W) int8 in -127 … 127. B ≤ 16 may vary; consumed lazily, so memory stays flat
        n_samples : how many samples `inputs` holds in all

        Yields
        ------
        RasterBatch with `network.raster_names` as keys, in that order, in batches that need not match those of `inputs`

        In fixed point the yielded bits are a function of `network` and `inputs` alone: the same on every backend,
        device and batch size.
        """
        ...
