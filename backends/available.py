"""The backends by name. Imports happen on use: one whose library is missing does not hinder the others."""

from __future__ import annotations

from typing import Literal

from .base import Backend, BackendError

BACKENDS = ("event", "torch", "lava")


def make_backend(
    name: str,
    device: str = "auto",
    lava_models: Literal["event", "stock"] = "event",
    lava_deadline: float | None = None,
) -> Backend:
    """The backend of that name.

    Parameters
    ----------
    name : one of them; "auto" is torch where there is a CUDA device and `device` allows it, and event otherwise
    device : of the torch backend, see :class:`backends.torch.backend.TorchBackend`
    lava_models, lava_deadline : of the Lava backend, see :class:`backends.lava.backend.LavaBackend`

    Raises
    ------
    BackendError : if there is none, or it cannot run here
    """
    if name == "auto":
        name = "event" if device == "cpu" or (device == "auto" and not _cuda()) else "torch"
    if name == "event":
        from .event.backend import EventBackend

        if device not in ("auto", "cpu"):
            raise BackendError(f"event: device is {device!r}, expected auto or cpu; it simulates on the CPU")
        return EventBackend()
    if name == "torch":
        from .torch.backend import TorchBackend

        return TorchBackend(device)
    if name == "lava":
        from .lava.backend import LavaBackend

        if device not in ("auto", "cpu"):
            raise BackendError(f"lava: device is {device!r}, expected auto or cpu; Lava simulates on the CPU")
        return LavaBackend(lava_models, lava_deadline)
    raise BackendError(f"backend is {name!r}, expected one of auto, {', '.join(BACKENDS)}")


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
