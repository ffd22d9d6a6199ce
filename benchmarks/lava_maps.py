"""Lava: maps that the graph forms beside every spike recorded, in bytes that leave it and in time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.lava_timing import simulate, steps_between
from benchmarks.measurement import Options, Row, scaled
from benchmarks.networks import Design, random_network, random_spikes
from spikesam.backends.formed_maps import MapRequest
from spikesam.backends.lava.backend import LavaBackend
from spikesam.backends.lava.transfer import sent_arrays, size_of
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.maps.layers import network_layers
from spikesam.recordings.maps.schema import MapHeader, MapLayer, Parameter
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.schema import SampleTable

GAMMA = 0.5
FEWER_BYTES = 6  # than spikes, at least
SLOWER = 1.0  # than recording them, at most


def maps_instead(design: Design, rate: float, options: Options, scratch: Path) -> Iterator[Row]:
    """Every spike recorded; maps of every step, of all layers or the deepest; sums over steps alone."""
    network = quantise(random_network(design, rate, options.seed))
    samples, case = options.repeats + 1, f"{rate:.0%} firing, what leaves"
    summed = {layer.name: layer.steps_that_matter for layer in map_layers(network)}
    deepest = list(summed)[-1]
    recorded = simulate(network, "event", rate, samples, options.seed, scratch).steps
    spikes = size_of(sent_arrays(network, None, 0)) / network.timesteps
    yield Row(case, "every spike", "ms/step", scaled(recorded, 1000), note="recorded to a file")
    yield Row(case, "every spike", "kB/step", (spikes / 1000,))
    ways = {
        "maps of all layers": MapRequest(GAMMA, summed, samples),
        "maps of the deepest": MapRequest(GAMMA, {deepest: summed[deepest]}, samples),
        "sums of all layers": MapRequest(GAMMA, summed),
    }
    for way, request in ways.items():
        steps = simulate_maps(network, request, rate, samples, options.seed, scratch)
        leaving = size_of(sent_arrays(network, request, 0)) / network.timesteps
        yield Row(case, way, "ms/step", scaled(steps, 1000), note="written to a file")
        yield Row(case, way, "kB/step", (leaving / 1000,), note="16 bits a map, 32 a sum; the input's stays outside")
        yield Row(case, way, "times the time", (median(steps) / median(recorded),), at_most=SLOWER)
        yield Row(case, way, "times fewer bytes", (spikes / leaving,), at_least=FEWER_BYTES)


def simulate_maps(
    network: Network, request: MapRequest, rate: float, samples: int, seed: int, folder: Path
) -> tuple[float, ...]:
    """Seconds per step of each sample but the first, its maps written; closing the file counts as a part of all."""
    spikes = random_spikes(network.input_shape, network.timesteps, samples, rate, seed)
    layers = tuple(layer for layer in map_layers(network) if layer.name in request.summed)
    about: dict[str, Parameter] = {"gamma": GAMMA, "variant": "fixed", "seed": seed}
    steps = tuple(range(network.timesteps)) * bool(request.stepped)
    kept = network.timesteps, layers, steps, request.stepped
    header = MapHeader("graph-sam", network.sha256, about, *kept, "network_sha256")
    table = SampleTable(np.arange(samples), np.full(samples, -1))
    inputs = (spikes[:, [sample]] for sample in range(samples))
    finished = []
    with tempfile.TemporaryDirectory(dir=folder) as out:
        with writing_maps(Path(out) / "maps.h5", header, table) as file:
            for sample, maps in enumerate(LavaBackend().run_maps(network, inputs, samples, request)):
                prediction = int(maps.readout.argmax())
                file.add(sample, [make_map_record(header, sample, prediction, maps.sums, maps.maps)])
                finished.append(time.perf_counter())
        return steps_between(finished, time.perf_counter(), network.timesteps)


def map_layers(network: Network) -> tuple[MapLayer, ...]:
    """The layers of neurons that have maps."""
    return network_layers(network, [name for name, kind in network.raster_kinds.items() if kind == "conv"])
