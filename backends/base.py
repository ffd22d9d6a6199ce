"""The contract every backend keeps, and the table of backends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from recordings.batch import RasterBatch
from recordings.errors import InputError

from .network import Network


class BackendError(InputError):
    """A backend cannot run here, or its simulation failed; one line says why."""


class Backend(Protocol):
    """A simulator of :class:`Network`."""

    name: str
    device: str

    def run(self, network: Network, inputs: Iterable[NDArray[np.bool_]], n_samples: int) -> Iterator[RasterBatch]:
        """Simulate samples one after the other, each from zero state, and yield their rasters in order.

        Parameters
        ----------
        inputs : batches of (T, B, C, H, W) bool, B ≤ 16 may vary; consumed lazily, so memory stays flat
        n_samples : how many samples `inputs` holds in all

        Yields
        ------
        RasterBatch with `network.raster_names` as keys, in batches that need not match those of `inputs`

        In fixed point the yielded bits are a function of `network` and `inputs` alone: the same on every backend,
        device and batch size.
        """
        ...


def _torch(device: str, lava_models: Literal["event", "stock"]) -> Backend:
    from .torch_backend import TorchBackend

    return TorchBackend(device)


def _lava(device: str, lava_models: Literal["event", "stock"]) -> Backend:
    from .lava.backend import LavaBackend

    if device not in ("auto", "cpu"):
        raise BackendError(f"lava: device is {device!r}, expected auto or cpu; Lava simulates on the CPU")
    return LavaBackend(lava_models)


# Imports happen on use: a backend whose library is missing does not hinder the others.
BACKENDS: dict[str, Callable[[str, Literal["event", "stock"]], Backend]] = {"torch": _torch, "lava": _lava}


def make_backend(name: str, device: str = "auto", lava_models: Literal["event", "stock"] = "event") -> Backend:
    """The backend of that name.

    Raises
    ------
    BackendError : if there is none, or it cannot run here
    """
    if name not in BACKENDS:
        raise BackendError(f"backend is {name!r}, expected one of {', '.join(BACKENDS)}")
    return BACKENDS[name](device, lava_models)
