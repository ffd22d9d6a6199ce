"""Layer by layer with torch, on a CPU or a CUDA GPU."""

from __future__ import annotations

from spikesam.backends.base import Backend


def make(device: str, threads: int | None) -> Backend:
    """The backend, see :class:`spikesam.backends.torch.backend.TorchBackend`; torch has threads of its own."""
    from spikesam.backends.torch.backend import TorchBackend

    return TorchBackend(device)
