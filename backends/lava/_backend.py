"""Run a Network on Lava, in a child process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, islice, tee
from typing import Any, ClassVar, Literal

import numpy as np

from spikesam.backends.base import Backend, BackendError, FormedMaps, InputBatch, MapRequest
from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.backends.input_currents import backend_input
from spikesam.backends.lava._child import Child
from spikesam.backends.lava._transfer import (
    Arrays,
    input_maps,
    maps_of,
    message_bytes,
    parse_message,
    raster_of,
    sent_arrays,
)
from spikesam.backends.network import Network
from spikesam.common.errors import at
from spikesam.recordings.raster.batch import RasterBatch

AHEAD = 2  # samples sent but not finished: one being simulated, one ready to follow without a pause
INSTALL = "pip install --no-deps --ignore-requires-python lava-nc==0.10.0"
DEADLINES = {"event": 300.0, "stock": 3600.0}


class LavaBackend(Backend):
    """Lava's CPU simulation: one process per Lava Process, all samples back to back.

    A layer is simulated by the event-driven kernels in one process ("event"), or by Lava's own
    `Conv` or `Dense` and this project's neurons ("stock"), with equal results, a thousand times
    slower. It is given up after `deadline` seconds, 300 or 3600, without finishing a sample;
    starting, and what the caller does between samples, do not count. A BackendError where Lava
    cannot run, or if the simulation fails, dies or misses its deadline.
    """

    name = "lava"
    forms_maps = True
    worker_module = "spikesam.backends.lava._worker"
    child: ClassVar[type[Any]] = Child  # in which the graph runs

    def __init__(
        self, models: Literal["event", "stock"] = "event", deadline: float | None = None
    ) -> None:
        if models not in DEADLINES:
            raise BackendError(
                f"lava: models is {models!r}, expected one of {', '.join(map(repr, DEADLINES))}"
            )
        if sys.version_info >= (3, 14):  # from which on processes are not forked by default
            python = ".".join(map(str, sys.version_info[:2]))
            raise BackendError(
                f"lava: this is Python {python}, expected 3.11 to 3.13; use one of these"
            )
        if any(
            importlib.util.find_spec(package) is None for package in ("lava", "asteval", "networkx")
        ):
            raise BackendError(
                f"lava: lava-nc is not installed; pip install 'spikesam[lava]', then {INSTALL}"
            )
        self.models: Literal["event", "stock"] = models
        self.deadline: float = DEADLINES[models] if deadline is None else deadline

    def prepare(self, network: Network) -> None:
        """Compile the kernels into numba's cache, where the child process finds them."""
        compile_kernels(network.precision)

    def run(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[RasterBatch]:
        """Simulate samples one after the other; see `Backend`. Yields batches of one sample."""
        with at(self.name):
            network.check_spiking()
        for arrays in self._simulated(
            network, _sample_bytes(inputs, n_samples, network), n_samples, None
        ):
            yield raster_of(network, arrays)

    def run_maps(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int, request: MapRequest
    ) -> Iterator[FormedMaps]:
        """Let the graph form maps; those of the input are formed here, from the spikes that are
        sent to it.
        """
        with at(self.name):
            network.check_spiking()
        samples, sent = tee(
            _sample_bytes(inputs, n_samples, network)
        )  # keeps the samples that the graph has ahead
        for sample, arrays in enumerate(self._simulated(network, samples, n_samples, request)):
            arrays |= input_maps(network, request, sample, next(sent))
            yield maps_of(network, request, sample, arrays)

    def _simulated(
        self,
        network: Network,
        samples: Iterator[memoryview],
        n_samples: int,
        request: MapRequest | None,
    ) -> Iterator[Arrays]:
        """The arrays that leave the graph, sample by sample; see `sent_arrays`."""
        if n_samples == 0:
            return
        samples = islice(samples, n_samples)
        samples = chain(
            [next(samples)], samples
        )  # input that does not fit is found before Lava starts
        with closing(self.child(self.worker_module, self.deadline)) as child:
            child.start(network, n_samples, self.models, request)
            for done in range(n_samples):
                for sample in islice(samples, AHEAD if done == 0 else 1):
                    child.send(sample)
                layout = sent_arrays(network, request, done)
                content = child.receive(message_bytes(layout))
                if done == n_samples - 1:
                    # a process may still fail in the last step, which no sample waits for
                    child.finish()
                yield parse_message(content, layout)


def _sample_bytes(
    inputs: Iterable[InputBatch], n_samples: int, network: Network
) -> Iterator[memoryview]:
    """The bytes that the source reads, sample by sample; refuses a wrong shape, and fewer samples
    than expected.
    """
    count = 0
    for batch in inputs:
        for sample in backend_input("lava", network, batch):
            # The graph takes currents as float32, which holds the integers of fixed point.
            yield np.ascontiguousarray(
                sample, np.uint8 if network.spiking_input else np.float32
            ).data.cast("B")
            count += 1
    raise BackendError(f"lava: the inputs end after {count} samples, expected {n_samples}")
