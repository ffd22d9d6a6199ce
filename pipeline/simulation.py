"""Simulate samples on a backend and record every spike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from backends.base import Backend, InputBatch
from backends.network import Network
from recordings.raster.schema import LayerSpec, RasterHeader
from recordings.raster.writer import RasterWriter

STEP_SECONDS = 1e-3  # the conventional length of a step; metadata only


class Encodable(Protocol):
    """Images that a network can be given."""

    def encoded(self, chosen: Sequence[int], network: Network, seed: int, batch_size: int) -> Iterator[InputBatch]:
        """What `network` gets for the chosen images, in batches."""


def raster_header(network: Network, backend: Backend, dataset: str, seed: int, config: str) -> RasterHeader:
    """What the raster file says about the run; `config` is JSON."""
    neurons = [layer.spiking_neuron for layer in network.layers]
    about = [(layer.kind, float(n.threshold), float(n.leak)) for layer, n in zip(network.layers, neurons, strict=True)]
    if network.encoder == "poisson":
        about.insert(0, ("input", 0.0, 0.0))
    rasters = zip(network.raster_names, network.raster_shapes, about, strict=True)
    return RasterHeader(
        backend=backend.name,
        device=backend.device,
        precision=network.precision,
        timesteps=network.timesteps,
        dt=STEP_SECONDS,
        seed=seed,
        network_sha256=network.sha256,
        dataset=dataset,
        config=config,
        layers=tuple(
            LayerSpec(name, number, shape, *constants)
            for number, (name, shape, constants) in enumerate(rasters, network.first_raster)
        ),
        classes=network.classes,
        readout_scale=network.readout.scale,
    )


def record(
    network: Network,
    backend: Backend,
    samples: Encodable,
    writer: RasterWriter,
    *,
    seed: int,
    batch_size: int,
    progress: Callable[[int], None],
) -> dict[str, float]:
    """Encode, simulate and record what `writer` still lacks; memory stays flat, whatever the number of samples.

    Parameters
    ----------
    progress : called with the number of samples just finished

    Returns
    -------
    seconds by the clock spent waiting for encoded inputs, for their simulation and for recording, together the whole;
        backends that simulate in threads (event) or in a process (Lava) go on during the other two
    """
    seconds = {"encode": 0.0, "simulate": 0.0, "record": 0.0}
    remaining = writer.remaining.tolist()
    inputs = _timed(samples.encoded(remaining, network, seed, batch_size), seconds)
    begun = time.perf_counter()
    for batch in backend.run(network, inputs, len(remaining)) if remaining else ():
        before = time.perf_counter()
        writer.append(batch)
        seconds["record"] += time.perf_counter() - before
        progress(len(batch))
    before = time.perf_counter()
    writer.finalize()
    seconds["record"] += time.perf_counter() - before
    seconds["simulate"] = time.perf_counter() - begun - seconds["encode"] - seconds["record"]
    return seconds


def _timed(inputs: Iterator[Any], seconds: dict[str, float]) -> Iterator[Any]:
    while True:
        before = time.perf_counter()
        batch = next(inputs, None)
        seconds["encode"] += time.perf_counter() - before
        if batch is None:
            return
        yield batch
