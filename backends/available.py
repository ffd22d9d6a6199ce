"""The backends by name. A backend is imported when it is used, so a missing library hinders no other backend."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .base import Backend, BackendError

BackendName = Literal["auto", "event", "torch", "lava"]
LavaModels = Literal["event", "stock"]

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
    device : of the torch backend, see :class:`backends.torch.backend.TorchBackend`
    lava_models, lava_deadline : of the Lava backend, see :class:`backends.lava.backend.LavaBackend`
    threads : of the event backend; one for each core if not given

    Raises
    ------
    BackendError : if there is none, or it cannot run here
    """
    if name == "auto":
        name = "event" if device == "cpu" or (device == "auto" and not _cuda()) else "torch"
    if name not in BACKENDS:
        raise BackendError(f"backend is {name!r}, expected one of auto, {', '.join(BACKENDS)}")
    return BACKENDS[name](device, lava_models, lava_deadline, threads)


def _event(device: str, _models: LavaModels, _deadline: float | None, threads: int | None) -> Backend:
    from .event.backend import EventBackend

    _expect_cpu("event", device)
    return EventBackend() if threads is None else EventBackend(threads)


def _torch(device: str, *_: object) -> Backend:
    from .torch.backend import TorchBackend

    return TorchBackend(device)


def _lava(device: str, models: LavaModels, deadline: float | None, _threads: int | None) -> Backend:
    from .lava.backend import LavaBackend

    _expect_cpu("lava", device)
    return LavaBackend(models, deadline)


BACKENDS: dict[str, Callable[[str, LavaModels, float | None, int | None], Backend]] = {
    "event": _event,
    "torch": _torch,
    "lava": _lava,
}


def _expect_cpu(name: str, device: str) -> None:
    if device not in ("auto", "cpu"):
        raise BackendError(f"{name}: device is {device!r}, expected auto or cpu; it simulates on the CPU")


def _cuda() -> bool:
    """Whether torch finds a GPU. Importing it takes a second or more, so the driver is looked for first."""
    if not (any(map(_loads, DRIVERS)) or ROCM.exists()):
        return False
    import torch

    return torch.cuda.is_available()


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
