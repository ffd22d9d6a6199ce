"""The backends by name. Imports happen on use: one whose library is missing does not hinder the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from .base import Backend, BackendError


def _torch(device: str, lava_models: Literal["event", "stock"]) -> Backend:
    from .torch_backend import TorchBackend

    return TorchBackend(device)


def _lava(device: str, lava_models: Literal["event", "stock"]) -> Backend:
    from .lava.backend import LavaBackend

    if device not in ("auto", "cpu"):
        raise BackendError(f"lava: device is {device!r}, expected auto or cpu; Lava simulates on the CPU")
    return LavaBackend(lava_models)


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
