"""A step of VGG11 on Lava: this project's models, every spike recorded or maps alone, and Lava's
own models.

Bytes that leave the graph are counted, not measured: a bit for each neuron and step, 16 bits for
each place of a map, 32 for each place of a sum, and 32 for each class. Spikes are written by
`spikesam.simulate`, maps as deflated arrays of an HDF5 file.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from benchmarks.common.environment import missing_lava
from benchmarks.common.measurement import Case, MeasuredRow, Options, Timed, megabytes
from benchmarks.common.networks import (
    TINY,
    VGG11,
    Design,
    additions,
    driven,
    firing,
    simulate_and_record,
    spike_rates,
)
from spikesam import Network, quantise
from spikesam.simulators import Backend, InputBatch, MapRequest, RasterBatch, make_backend

PEERS = (missing_lava,)
STOCK_RATE = 0.2
GAMMA = 0.5
FEWER_BYTES = 6  # maps than spikes, at least
SLOWER = 1.0  # maps than spikes, at most
TARGETS = {0.05: 10.0, 0.2: 20.0}  # firing rate -> milliseconds that a step may take


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark; none where Lava cannot run."""
    if missing_lava():
        return
    design = options.pick(VGG11, TINY)
    for rate in options.pick((0.02, 0.05, 0.1, 0.2), (0.1, 0.2)):
        yield Case(f"{rate:.0%} firing", partial(event_models, design, rate, options, scratch))
    for rate in options.pick((0.05, 0.2), (0.2,)):
        yield Case(
            f"maps at {rate:.0%} firing", partial(maps_instead, design, rate, options, scratch)
        )
    yield Case("Lava's own models", partial(stock_models, design, options, scratch))


def event_models(
    design: Design, rate: float, options: Options, scratch: Path
) -> Iterator[MeasuredRow]:
    """This project's models: a step, and what there is before the first one."""
    network, spikes = driven(design, rate, options.repeats + 1, options.seed)
    network = quantise(network)
    timed = timed_spikes(network, "event", spikes, scratch)
    case, way = f"{rate:.0%} firing", "event-driven models"
    batches = make_backend("event").run(network, [spikes[:, :1]], 1)
    rates = spike_rates(network, list(batches))
    work = additions(network, rates) / network.timesteps / 1e9
    about = f"recorded; {firing(rates)}; {work / median(timed.seconds):.1f} G additions/s"
    yield MeasuredRow(
        case, way, "ms/step", 1000 * timed.seconds, at_most=TARGETS.get(rate), note=about
    )
    yield MeasuredRow(case, way, "ms/step", 1000 * timed.seconds, sweep="firing rate", x=rate)
    yield MeasuredRow(case, way, "s to start", (timed.result,), note="until the first step is done")
    held = megabytes(partial(timed_spikes, network, "event", spikes[:, :2], scratch), 0.2) / 1000
    yield MeasuredRow(case, way, "GB", (held,), note="memory (PSS) of all processes")


def stock_models(design: Design, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Lava's own models, over the two steps of a second sample; what they take does not depend on
    spikes.
    """
    network, spikes = driven(design._replace(timesteps=2), STOCK_RATE, 2, options.seed)
    timed = timed_spikes(quantise(network), "stock", spikes, scratch)
    yield MeasuredRow(
        "any firing", "Lava's models", "ms/step", 1000 * timed.seconds, note="mean of 2 steps"
    )


def maps_instead(
    design: Design, rate: float, options: Options, scratch: Path
) -> Iterator[MeasuredRow]:
    """Every spike recorded; maps of every step, of all layers or the deepest; sums over steps
    alone.
    """
    samples, case = options.repeats + 1, f"{rate:.0%} firing, what leaves"
    network, inputs = driven(design, rate, samples, options.seed)
    network = quantise(network)
    last = len(network.layers)  # a spike of layer l takes last - l steps to the readout
    summed = {
        layer.name: network.timesteps - (last - number)
        for number, layer in enumerate(network.layers, 1)
        if layer.kind == "conv"
    }
    deepest = list(summed)[-1]
    recorded = timed_spikes(network, "event", inputs, scratch)
    answer = 4 * network.classes
    spikes = sum(network.raster_bytes) + answer / network.timesteps
    yield MeasuredRow(
        case, "every spike", "ms/step", 1000 * recorded.seconds, note="recorded to a file"
    )
    yield MeasuredRow(case, "every spike", "kB/step", (spikes / 1000,))
    ways = {
        "maps of all layers": MapRequest(GAMMA, summed, samples),
        "maps of the deepest": MapRequest(GAMMA, {deepest: summed[deepest]}, samples),
        "sums of all layers": MapRequest(GAMMA, summed),
    }
    for way, request in ways.items():
        timed = time_steps(
            partial(write_maps, network, request, inputs, scratch), network.timesteps
        )
        places = sum(math.prod(network.shape_of[layer][1:]) for layer in request.summed)
        leaving = (4 * places + answer) / network.timesteps + 2 * places * bool(request.stepped)
        yield MeasuredRow(case, way, "ms/step", 1000 * timed.seconds, note="written to a file")
        note, longer = "16 bits a map, 32 a sum; the input's stays outside", median(timed.seconds)
        yield MeasuredRow(case, way, "kB/step", (leaving / 1000,), note=note)
        yield MeasuredRow(
            case, way, "times the time", (longer / median(recorded.seconds),), at_most=SLOWER
        )
        yield MeasuredRow(case, way, "times fewer bytes", (spikes / leaving,), at_least=FEWER_BYTES)


def write_maps(
    network: Network,
    request: MapRequest,
    spikes: NDArray[np.bool_],
    folder: Path,
    finished: list[float],
) -> None:
    """Write the maps of every sample to a file under `folder`, and remove it."""
    samples = spikes.shape[1]
    inputs = (spikes[:, [sample]] for sample in range(samples))
    with (
        tempfile.TemporaryDirectory(dir=folder) as out,
        h5py.File(Path(out) / "maps.h5", "w") as file,
    ):
        formed = make_backend("lava").run_maps(network, inputs, samples, request)
        for sample, maps in enumerate(formed):
            for kind, arrays in (("sum", maps.sums), ("maps", maps.maps)):
                for layer, array in arrays.items():
                    write_deflated(file, f"{sample}/{layer}/{kind}", array)
            finished.append(time.perf_counter())


def write_deflated(file: h5py.File, name: str, array: NDArray[np.float32]) -> None:
    """Write an array as one deflated chunk, by ISA-L, which is as fast as files of maps are."""
    dataset = file.create_dataset(
        name, array.shape, array.dtype, chunks=array.shape, compression="gzip"
    )
    dataset.id.write_direct_chunk((0,) * array.ndim, isal_zlib.compress(array.tobytes(), 1))


class TimedBackend(Backend):
    """Another backend, noting in `finished` when each sample was simulated and recorded."""

    def __init__(self, backend: Backend, finished: list[float]) -> None:
        self.backend, self.finished = backend, finished
        self.name, self.device = backend.name, backend.device

    def prepare(self, network: Network) -> None:
        """See :class:`spikesam.simulators.Backend`."""
        self.backend.prepare(network)

    def run(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[RasterBatch]:
        """See :class:`spikesam.simulators.Backend`."""
        for batch in self.backend.run(network, inputs, n_samples):
            yield batch
            self.finished.append(time.perf_counter())


def timed_spikes(
    network: Network, models: Literal["event", "stock"], spikes: NDArray[np.bool_], folder: Path
) -> Timed:
    """Time of simulating and recording, see :func:`time_steps`."""

    def record(finished: list[float]) -> None:
        backend = TimedBackend(make_backend("lava", options={"models": models}), finished)
        simulate_and_record(network, backend, spikes, spikes.shape[1], folder, batch_size=1)

    return time_steps(record, network.timesteps)


def time_steps(run: Callable[[list[float]], object], timesteps: int) -> Timed:
    """Seconds per step of each sample but the first; the result is the seconds until the first step
    was done.

    `run` notes when each sample was finished. Closing the file at the end counts as a part of every
    sample.
    """
    finished: list[float] = []
    begun = time.perf_counter()
    run(finished)
    closing = (time.perf_counter() - finished[-1]) / len(finished)
    steps = (np.diff(finished) + closing) / timesteps
    return Timed(steps, finished[0] - begun - median(steps) * (timesteps - 1))
