"""Rasters whose bits are known, and edited copies of others."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.available import make_backend
from spikesam.backends.network import Network
from spikesam.pipeline.engine.job import raster_header
from spikesam.recordings.raster.batch import RasterBatch, pack
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.raster.writer import GrowingWriter
from spikesam.recordings.schema import SampleTable
from tests.reference import simulate_reference

Spikes = NDArray[np.bool_]  # (T, B, C, H, W)
BIT = tuple[str, int, int, tuple[int, int, int]]  # layer, sample, step, neuron


def fired(network: Network, inputs: Spikes) -> dict[str, Spikes]:
    """Spikes by name, of the equations."""
    return dict(zip(network.raster_names, simulate_reference(network, inputs)[0], strict=True))


def write(
    path: Path, header: RasterHeader, spikes: Mapping[str, Spikes], table: SampleTable
) -> RasterReader:
    """A raster of (T, B, C, H, W) by name, whose readouts are 0."""
    writer = GrowingWriter(path, header)
    packed = {name: pack(bits) for name, bits in spikes.items()}
    dtype = np.int32 if header.precision == "fixed" else np.float32
    writer.append(RasterBatch(packed, np.zeros((len(table), header.classes), dtype)), table)
    return RasterReader(writer.finalize(), trusted=True)


def of_network(path: Path, network: Network, spikes: Mapping[str, Spikes]) -> RasterReader:
    """A raster that says it was recorded from a network."""
    header = raster_header(network, make_backend("event"), "made-up", 0)
    samples = next(iter(spikes.values())).shape[1]
    return write(path, header, spikes, SampleTable(np.arange(samples), np.full(samples, -1)))


def edited(path: Path, raster: RasterReader, *bits: BIT) -> RasterReader:
    """A copy in which some bits are others, and everything else fits."""
    spikes = {name: raster[name][:] for name in raster}
    for layer, sample, step, neuron in bits:
        spikes[layer][(step, sample, *neuron)] ^= True
    return write(path, raster.header, spikes, raster.samples)
