"""Lava: what a step takes, from the moments at which samples are finished."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks.networks import random_spikes
from benchmarks.recorded import simulate_and_record
from spikesam.backends.base import InputBatch
from spikesam.backends.lava.backend import LavaBackend
from spikesam.backends.network import Network
from spikesam.recordings.raster.batch import RasterBatch


class TimedLava(LavaBackend):
    """Lava, noting when each sample has been simulated and recorded."""

    def __init__(self, models: Literal["event", "stock"]) -> None:
        super().__init__(models)
        self.finished: list[float] = []

    def run(self, network: Network, inputs: Iterable[InputBatch], n_samples: int) -> Iterator[RasterBatch]:
        """See :class:`spikesam.backends.base.Backend`."""
        for batch in super().run(network, inputs, n_samples):
            yield batch
            self.finished.append(time.perf_counter())


@dataclass(frozen=True)
class Simulation:
    """Seconds per step of each sample but the first, and seconds until the first step was done."""

    steps: tuple[float, ...]
    start: float


def simulate(
    network: Network, models: Literal["event", "stock"], rate: float, samples: int, seed: int, folder: Path
) -> Simulation:
    """Simulate and record; writing the file at the end counts as a part of every step."""
    spikes = random_spikes(network.input_shape, network.timesteps, samples, rate, seed)
    backend = TimedLava(models)
    begun = time.perf_counter()
    simulate_and_record(network, backend, spikes, samples, folder, batch_size=1)
    steps = steps_between(backend.finished, time.perf_counter(), network.timesteps)
    start = backend.finished[0] - begun - median(steps) * (network.timesteps - 1)
    return Simulation(steps, start)


def steps_between(finished: Sequence[float], ended: float, timesteps: int) -> tuple[float, ...]:
    """Seconds per step of each sample but the first, from when each was finished.

    When the file was closed, at `ended`, counts as a part of every sample.
    """
    closing = (ended - finished[-1]) / len(finished)
    return tuple((later - earlier + closing) / timesteps for earlier, later in pairwise(finished))
