"""A step of VGG11 on Lava: this project's models, every spike recorded or maps alone, and Lava's
own models.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
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
from spikesam.backends.base import InputBatch, MapRequest
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.lava.backend import LavaBackend
from spikesam.backends.lava.transfer import message_bytes, sent_arrays
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.maps.layers import network_layers
from spikesam.recordings.maps.schema import MapHeader, MapLayer, Parameter
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.schema import SampleTable

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
    rates = spike_rates(network, list(EventBackend().run(network, [spikes[:, :1]], 1)))
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
    summed = {layer.name: layer.steps_that_matter for layer in map_layers(network)}
    deepest = list(summed)[-1]
    recorded = timed_spikes(network, "event", inputs, scratch)
    spikes = message_bytes(sent_arrays(network, None, 0)) / network.timesteps
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
        leaving = message_bytes(sent_arrays(network, request, 0)) / network.timesteps
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
    layers = tuple(layer for layer in map_layers(network) if layer.name in request.summed)
    about: dict[str, Parameter] = {"gamma": GAMMA, "variant": "fixed"}
    steps = tuple(range(network.timesteps)) * bool(request.stepped)
    kept = network.timesteps, layers, steps, request.stepped
    header = MapHeader("graph-sam", network.sha256, about, *kept, "network_sha256")
    table = SampleTable(np.arange(samples), np.full(samples, -1))
    inputs = (spikes[:, [sample]] for sample in range(samples))
    with (
        tempfile.TemporaryDirectory(dir=folder) as out,
        writing_maps(Path(out) / "maps.h5", header, table) as file,
    ):
        for sample, maps in enumerate(LavaBackend().run_maps(network, inputs, samples, request)):
            prediction = int(maps.readout.argmax())
            file.add(sample, [make_map_record(header, sample, prediction, maps.sums, maps.maps)])
            finished.append(time.perf_counter())


def map_layers(network: Network) -> tuple[MapLayer, ...]:
    """The layers of neurons that have maps."""
    return network_layers(network, [layer.name for layer in network.layers if layer.kind == "conv"])


class TimedLava(LavaBackend):
    """Lava, noting in `finished` when each sample has been simulated and recorded."""

    def __init__(self, models: Literal["event", "stock"], finished: list[float]) -> None:
        super().__init__(models)
        self.finished = finished

    def run(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[RasterBatch]:
        """See :class:`spikesam.backends.base.Backend`."""
        for batch in super().run(network, inputs, n_samples):
            yield batch
            self.finished.append(time.perf_counter())


def timed_spikes(
    network: Network, models: Literal["event", "stock"], spikes: NDArray[np.bool_], folder: Path
) -> Timed:
    """Time of simulating and recording, see :func:`time_steps`."""

    def record(finished: list[float]) -> None:
        simulate_and_record(
            network, TimedLava(models, finished), spikes, spikes.shape[1], folder, batch_size=1
        )

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
