"""Run a Network on Lava, in a child process."""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backends.base import BackendError, InputBatch, packed_spikes
from backends.constant_current import constant_currents
from backends.event.kernels.layer import compile_kernels
from backends.network import Network
from recordings.raster.batch import RasterBatch

from .child import Child
from .wanted import Arrays, GraphMaps, WantedMaps, opened, parts_of, raster_of, size_of

AHEAD = 2  # samples sent but not finished: one being simulated, one ready to follow without a pause
INSTALL = "pip install --no-deps --ignore-requires-python lava-nc==0.10.0"  # what it imports comes with this project
DEADLINES = {"event": 300.0, "stock": 3600.0}


class LavaBackend:
    """Lava's CPU simulation: one process per Lava Process, all samples back to back.

    Parameters
    ----------
    models : how a layer is simulated: "event" by the event-driven kernels in one process; "stock" by the graph of
        Lava's own `Conv` or `Dense` and this project's neurons, which computes the same, a thousand times slower
    deadline : seconds; the longest the simulation may go on without finishing a sample before it is given up. Starting
        and the time the caller spends between samples do not count. By default 300 with event-driven models, 3600 with
        stock ones (a VGG11 at 64×64 takes them 10 s per step)

    Raises
    ------
    BackendError : where Lava cannot run; from :meth:`run`, if the simulation fails, dies or misses its deadline
    """

    name = "lava"
    device = "cpu"
    worker_module = "backends.lava.worker"

    def __init__(self, models: Literal["event", "stock"] = "event", deadline: float | None = None) -> None:
        if models not in DEADLINES:
            raise BackendError(f"lava: models is {models!r}, expected one of {', '.join(map(repr, DEADLINES))}")
        if not (3, 10) <= sys.version_info[:2] <= (3, 13):  # from 3.14 on, processes are not forked by default
            python = ".".join(map(str, sys.version_info[:2]))
            raise BackendError(f"lava: this is Python {python}, expected 3.10 to 3.13; use one of these")
        if importlib.util.find_spec("lava") is None:
            raise BackendError(f"lava: lava-nc is not installed; install it with: {INSTALL}")
        self.models: Literal["event", "stock"] = models
        self.deadline: float = DEADLINES[models] if deadline is None else deadline

    def prepare(self, network: Network) -> None:
        """Compile the kernels into numba's cache, where the child process finds them."""
        compile_kernels(network.precision)

    def run(self, network: Network, inputs: Iterable[InputBatch], n_samples: int) -> Iterator[RasterBatch]:
        """Simulate samples one after the other; see :class:`backends.base.Backend`. Yields batches of one sample."""
        network.check_spiking(self.name)
        for arrays in self._simulated(network, _sample_bytes(inputs, n_samples, network), n_samples, None):
            yield raster_of(network, arrays)

    def run_maps(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int, wanted: WantedMaps
    ) -> Iterator[GraphMaps]:
        """Simulate samples one after the other, of which only maps and readouts leave the graph, or spikes as well.

        The input's map is made here, of the spikes that are sent to the graph; no other layer's spikes are known.

        Parameters
        ----------
        inputs, n_samples : see :class:`backends.base.Backend`
        wanted : which maps

        Raises
        ------
        InputError : if the graph cannot give them
        """
        network.check_spiking(self.name)
        wanted.check(network)
        sent: deque[memoryview] = deque()  # as many samples as the graph has ahead
        samples = _kept(_sample_bytes(inputs, n_samples, network), sent)
        for sample, arrays in enumerate(self._simulated(network, samples, n_samples, wanted)):
            packed = np.frombuffer(sent.popleft(), np.uint8)
            if wanted.of_input(network):
                arrays |= wanted.input_maps(network, sample, packed.reshape(network.timesteps, -1))
            yield wanted.unpacked(network, sample, arrays)

    def _simulated(
        self, network: Network, samples: Iterator[memoryview], n_samples: int, wanted: WantedMaps | None
    ) -> Iterator[Arrays]:
        """What leaves the graph of one sample after the other, see :func:`backends.lava.wanted.parts_of`."""
        if n_samples == 0:
            return
        samples = islice(samples, n_samples)
        samples = chain([next(samples)], samples)  # input that does not fit is found before Lava starts
        with Child(self.worker_module, self.deadline) as child:
            child.start(network, n_samples, self.models, wanted)
            for done in range(n_samples):
                for sample in islice(samples, AHEAD if done == 0 else 1):
                    child.send(sample)
                parts = parts_of(network, wanted, done)
                yield opened(child.receive(size_of(parts)), parts)


def _sample_bytes(inputs: Iterable[InputBatch], n_samples: int, network: Network) -> Iterator[memoryview]:
    """What the source reads of one sample after the other; refuses samples of a wrong shape, and to end early."""
    count = 0
    for batch in inputs:
        samples: NDArray[Any] = (
            packed_spikes("lava", network, batch).bits if network.spiking_input else constant_currents(network, batch)
        )
        for sample in samples:
            yield np.ascontiguousarray(sample).data.cast("B")
            count += 1
    raise BackendError(f"lava: the inputs end after {count} samples, expected {n_samples}")


def _kept(samples: Iterator[memoryview], into: deque[memoryview]) -> Iterator[memoryview]:
    """The samples, each put into `into` as well."""
    for sample in samples:
        into.append(sample)
        yield sample
