"""A spiking network's logits for many versions of an input, without gradients: simulated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import Backend
from spikesam.backends.network import Network

BATCH = 16  # inputs packed together

Answer = Callable[[NDArray[Any]], NDArray[np.float64]]


def answers_of(network: Network, backend: Backend | None = None) -> Answer:
    """Logits (B, classes) of inputs (T, B, C, H, W) bool or (B, C, H, W) int8; on the event backend by default."""
    if backend is None:
        from spikesam.backends.event.backend import EventBackend  # here, because numba takes half a second to import

        backend = EventBackend()
    backend.prepare(network)
    return partial(_answers, backend, network)


def _answers(backend: Backend, network: Network, inputs: NDArray[Any]) -> NDArray[np.float64]:
    count = inputs.shape[-4]
    batches = (inputs[..., start : start + BATCH, :, :, :] for start in range(0, count, BATCH))
    readout = np.concatenate([batch.readout for batch in backend.run(network, batches, count)])
    return readout * (network.readout.scale / network.timesteps)
