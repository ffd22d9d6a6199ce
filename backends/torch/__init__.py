"""Layer by layer with torch, on a CPU or a CUDA GPU."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

from spikesam.backends.base import Backend

DRIVERS = ("libcuda.so.1", "nvcuda.dll")  # of CUDA, on Linux and on Windows
ROCM = Path("/dev/kfd")  # the device of AMD's driver, whose GPUs torch calls CUDA, too


def make(device: str, threads: int | None) -> Backend:
    """The backend, see :class:`spikesam.backends.torch.backend.TorchBackend`; torch has threads of
    its own.
    """
    from spikesam.backends.torch.backend import TorchBackend

    return TorchBackend(device)


def suits(device: str) -> bool:
    """True if "auto" is this backend: where a GPU is named, or none is and there is one."""
    return device != "cpu" and (device != "auto" or _cuda())


def _cuda() -> bool:
    """True if torch finds a GPU. Importing torch takes a second or more, so the driver is looked
    for first.
    """
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
