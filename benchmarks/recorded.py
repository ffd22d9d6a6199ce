"""Simulating given samples and recording every spike to a file, as spikesam run does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import Backend
from spikesam.backends.network import Network
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.images.samples import Samples
from spikesam.recordings.schema import SampleTable

BATCH_SIZE = 16  # the most that spikesam run hands over at a time


class Repeated(Samples):
    """Spikes (T, B, C, H, W) as if they were those of any number of images: after the last comes the first again."""

    name = "random"

    def __init__(self, spikes: NDArray[np.bool_], samples: range) -> None:
        self.spikes = spikes
        self.table = SampleTable(np.array(samples), np.full(len(samples), -1))

    def part(self, positions: range) -> Repeated:
        """See :class:`Samples`."""
        return Repeated(self.spikes, positions)

    def batch(self, chosen: list[int], network: Network, seed: int) -> NDArray[np.bool_]:
        """See :class:`Samples`."""
        return self.spikes.take(self.table.index[chosen], axis=1, mode="wrap")


def simulate_only(network: Network, backend: Backend, spikes: NDArray[np.bool_], samples: int) -> None:
    """Simulate so many samples and keep nothing: what :func:`simulate_and_record` takes beyond this is recording."""
    inputs = Repeated(spikes, range(samples)).encoded(range(samples), network, 0, BATCH_SIZE)
    for _ in backend.run(network, inputs, samples):
        pass


def simulate_in_memory(network: Network, backend: Backend, spikes: NDArray[np.bool_], samples: int) -> None:
    """Simulate so many samples and keep all spikes, compressed, in memory."""
    source = Repeated(spikes, range(samples))
    simulate(network, source, backend=backend, precision=network.precision, batch_size=BATCH_SIZE).close()


def simulate_and_record(
    network: Network,
    backend: Backend,
    spikes: NDArray[np.bool_],
    samples: int,
    folder: Path,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Simulate so many samples, write all spikes to a raster file under `folder`, and remove it."""
    source = Repeated(spikes, range(samples))
    with tempfile.TemporaryDirectory(dir=folder) as out:
        simulate(network, source, out=out, backend=backend, precision=network.precision, batch_size=batch_size).close()
