"""Simulating given samples and recording every spike to a file, as pipeline.run does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.base import Backend
from backends.network import Network
from pipeline.simulation import raster_header, record
from recordings.raster.writer import RasterWriter
from recordings.schema import SampleTable

BATCH_SIZE = 16  # the most that pipeline.run hands over at a time


class Repeated:
    """Spikes (T, B, C, H, W) as if they were those of any number of images: after the last comes the first again."""

    def __init__(self, spikes: NDArray[np.bool_]) -> None:
        self.spikes = spikes

    def encoded(
        self, chosen: Sequence[int], network: Network, seed: int, batch_size: int
    ) -> Iterator[NDArray[np.bool_]]:
        """See :class:`pipeline.simulation.Encodable`."""
        for start in range(0, len(chosen), batch_size):
            yield self.spikes.take(chosen[start : start + batch_size], axis=1, mode="wrap")


def simulate_only(network: Network, backend: Backend, spikes: NDArray[np.bool_], samples: int) -> None:
    """Simulate so many samples and keep nothing: what :func:`simulate_and_record` takes beyond this is recording."""
    inputs = Repeated(spikes).encoded(range(samples), network, 0, BATCH_SIZE)
    for _ in backend.run(network, inputs, samples):
        pass


def simulate_and_record(
    network: Network,
    backend: Backend,
    spikes: NDArray[np.bool_],
    samples: int,
    folder: Path,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Simulate so many samples, write all spikes to a raster file under `folder`, and remove it.

    Parameters
    ----------
    progress : called with the number of samples just finished
    """
    with tempfile.TemporaryDirectory(dir=folder) as out:
        table = SampleTable(np.arange(samples), np.full(samples, -1))
        writer = RasterWriter(Path(out), raster_header(network, backend, "random", 0, "{}"), table)
        record(network, backend, Repeated(spikes), writer, seed=0, batch_size=batch_size, progress=progress)
