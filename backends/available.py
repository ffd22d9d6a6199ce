"""The backends by name. A backend is imported when it is used, so a missing library hinders no other backend."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from spikesam.backends.base import Backend, BackendError
from spikesam.recordings.extras import missing

BackendName = Literal["auto", "event", "torch", "lava"]
LavaModels = Literal["event", "stock"]
BACKENDS = ("event", "torch", "lava")

DRIVERS = ("libcuda.so.1", "nvcuda.dll")  # of CUDA, on Linux and on Windows
ROCM = Path("/dev/kfd")  # the device of AMD's driver, whose GPUs torch calls CUDA, too


def make_backend(
    name: str,
    device: str = "auto",
    lava_models: LavaModels = "event",
    lava_deadline: float | None = None,
    *,
    threads: int | None = None,
) -> Backend:
    """The backend of that name.

    Parameters
    ----------
    name : of the backend; "auto" is torch where there is a CUDA device and `device` allows it, and event otherwise
    device : of the torch backend, see :class:`spikesam.backends.torch.backend.TorchBackend`
    lava_models, lava_deadline : of the Lava backend, see :class:`spikesam.backends.lava.backend.LavaBackend`
    threads : of the event backend; one for each core if not given

    Raises
    ------
    BackendError : if there is none, or it cannot run here
    """
    if name == "auto":
        name = "event" if device == "cpu" or (device == "auto" and not _cuda()) else "torch"
    if name in ("event", "lava") and device not in ("auto", "cpu"):
        raise BackendError(f"{name}: device is {device!r}, expected auto or cpu; it simulates on the CPU")
    if name == "event":
        from spikesam.backends.event.backend import EventBackend

        return EventBackend(threads)
    if name == "torch":
        try:
            from spikesam.backends.torch.backend import TorchBackend
        except ImportError as error:
            raise BackendError(f"torch: {missing(error) or error}") from error

        return TorchBackend(device)
    if name == "lava":
        from spikesam.backends.lava.backend import LavaBackend

        return LavaBackend(lava_models, lava_deadline)
    raise BackendError(f"backend is {name!r}, expected one of auto, {', '.join(BACKENDS)}")


def _cuda() -> bool:
    """Whether torch finds a GPU. Importing it takes a second or more, so the driver is looked for first."""
    if find_spec("torch") is None or not (any(map(_loads, DRIVERS)) or ROCM.exists()):
        return False
    import torch

    return torch.cuda.is_available()


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
