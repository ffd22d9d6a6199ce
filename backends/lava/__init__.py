"""Lava's simulation on the CPU; importing this package does not import Lava."""

from __future__ import annotations

from typing import Annotated, Literal

from spikesam.backends.base import Backend, refuse_other_devices
from spikesam.common.arguments import Option


def make(
    device: str,
    threads: int | None,
    models: Annotated[
        Literal["event", "stock"],
        Option("event: layers computed event by event; stock: Lava's own Conv and Dense (slow)"),
    ] = "event",
    deadline: Annotated[
        float | None,
        Option(
            "stop Lava after so many seconds without a finished image; none: 300, stock 3600",
            above=0,
        ),
    ] = None,
) -> Backend:
    """The backend, see :class:`spikesam.backends.lava._backend.LavaBackend`; Lava has processes of
    its own.
    """
    refuse_other_devices("lava", device)
    from spikesam.backends.lava._backend import LavaBackend

    return LavaBackend(models, deadline)
