"""Event by event on the CPU: work is done where there are spikes."""

from __future__ import annotations

from spikesam.backends.base import Backend, refuse_other_devices


def make(device: str, threads: int | None) -> Backend:
    """The backend, see :class:`spikesam.backends.event.backend.EventBackend`."""
    refuse_other_devices("event", device)
    from spikesam.backends.event.backend import EventBackend

    return EventBackend(threads)
