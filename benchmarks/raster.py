"""Rasters on disk: size and speed of this project's file beside other ways to keep the same spikes
with h5py.

Every way is given the spikes in the form that it stores, and must read back the same. This
project's writer also takes digests and counts, makes files of ranges that survive a kill and syncs
them to disk, and its reader checks all of that. What is read was just written, so it comes from
memory. Speeds are in bytes of packed bits, whatever the form.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.common.measurement import Case, MeasuredRow, Options, race
from benchmarks.common.networks import (
    TINY,
    VGG11,
    Repeated,
    driven,
    simulate_and_record,
    simulate_only,
)
from spikesam import Network, open_raster, quantise, simulate
from spikesam.simulators import Backend, InputBatch, RasterBatch, make_backend

CHUNK = 1 << 20  # bytes
OURS = "spikesam"
Arrays = dict[str, NDArray[Any]]


SHARES = {0.1: 0.3}  # by firing rate, how much recording may add to the time of simulating at most


class MeasuredStore(NamedTuple):
    """A way to keep rasters: the form it stores, what writes it to a file, and what reads that."""

    content: Arrays
    write: Callable[[Arrays, Path], None]
    read: Callable[[Path], Arrays]

    def write_new(self, folder: Path) -> Path:
        """Write a file of its own."""
        path = Path(tempfile.mkdtemp(dir=folder)) / "raster.h5"
        self.write(self.content, path)
        return path


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    for rate in options.pick((0.05, 0.1, 0.2), (0.2,)):
        yield Case(f"files, {rate:.0%} firing", partial(files, rate, options, scratch))
        yield Case(f"recording, {rate:.0%} firing", partial(recording, rate, options, scratch))


def files(rate: float, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Size, and speed of writing and reading, of every way to keep all layers of some samples."""
    case = f"{rate:.0%} firing"
    network, spikes = quantised(rate, options)
    batches = list(make_backend("event").run(network, [spikes], spikes.shape[1]))
    packed = {
        name: np.concatenate([batch.spikes[name] for batch in batches])
        for name in network.raster_names
    }
    stores = all_stores(network, packed)
    content = b"".join(bits.tobytes() for bits in packed.values())
    megabytes, n_spikes = (
        len(content) / 1e6,
        int(np.unpackbits(np.frombuffer(content, np.uint8)).sum()),
    )
    written = race(
        {way: partial(store.write_new, scratch) for way, store in stores.items()}, options.repeats
    )
    read = race(
        {way: partial(stores[way].read, found.result) for way, found in written.items()},
        options.repeats,
    )
    for way, store in stores.items():
        if any(
            not np.array_equal(read[way].result[name], array)
            for name, array in store.content.items()
        ):
            raise RuntimeError(f"{way}: spikes did not come back as they were")
        bits = 8 * written[way].result.stat().st_size / n_spikes
        yield MeasuredRow(case, way, "bits per spike", (bits,))
        yield MeasuredRow(case, way, "MB/s written", megabytes / written[way].seconds)
        yield MeasuredRow(case, way, "MB/s read", megabytes / read[way].seconds)
    share = n_spikes / (8 * len(content))
    entropy = -math.log2(share) - (1 - share) / share * math.log2(1 - share)
    yield MeasuredRow(
        case, "entropy", "bits per spike", (entropy,), note="the least, were all spikes independent"
    )


def recording(rate: float, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Time that recording adds to simulating on the event backend."""
    network, spikes = quantised(rate, options)
    samples = options.pick(128, 4)
    given = network, make_backend("event"), spikes, samples
    ways = {
        "simulate": partial(simulate_only, *given),
        "record": partial(simulate_and_record, *given, scratch),
    }
    timed = race(ways, options.repeats)
    shares = timed["record"].seconds / timed["simulate"].seconds - 1
    case = f"{rate:.0%} firing, {samples} images"
    wanted, note = SHARES.get(rate), "beyond the event backend's time"
    yield MeasuredRow(case, "recording", "× simulating", shares, at_most=wanted, note=note)


def quantised(rate: float, options: Options) -> tuple[Network, NDArray[np.bool_]]:
    """A network in fixed point, and its input for some samples."""
    network, spikes = driven(options.pick(VGG11, TINY), rate, options.pick(8, 2), options.seed)
    return quantise(network), spikes


def all_stores(network: Network, packed: Arrays) -> dict[str, MeasuredStore]:
    """This project's file and its peers, for packed bits (N, T, bytes) of every raster."""
    bits = {
        name: np.unpackbits(packed[name], axis=-1, count=math.prod(shape)).view(np.bool_)
        for name, shape in zip(network.raster_names, network.raster_shapes, strict=True)
    }
    return {
        OURS: MeasuredStore(packed, partial(write_ours, network), read_ours),
        "bits, gzip 1": MeasuredStore(packed, partial(write_plain, level=1), read_plain),
        "bool, gzip 4": MeasuredStore(bits, partial(write_plain, level=4), read_plain),
    }


class Given(Backend):
    """A backend that has the spikes of all samples."""

    name = "event"

    def __init__(self, packed: Arrays) -> None:
        self.packed = packed

    def run(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[RasterBatch]:
        """See :class:`spikesam.simulators.Backend`."""
        yield RasterBatch(self.packed, np.zeros((n_samples, network.classes), np.int32))


def write_ours(network: Network, packed: Arrays, path: Path) -> None:
    """Steps of spikesam run behind a backend."""
    samples = len(next(iter(packed.values())))
    source = Repeated(
        np.zeros((network.timesteps, 1, *network.input_shape), np.bool_), range(samples)
    )
    about: Any = {"backend": Given(packed), "precision": network.precision, "batch_size": samples}
    simulate(network, source, out=path.parent, **about).close()


def read_ours(path: Path) -> Arrays:
    """Every raster, sample by sample, all checked."""
    with open_raster(path) as reader:
        samples = range(reader.n_samples)
        return {
            layer.name: np.stack([reader.packed(layer, sample) for sample in samples])
            for layer in reader.layers
        }


def write_plain(content: Arrays, path: Path, level: int) -> None:
    """One dataset per array, in chunks of whole steps of a sample,
    at most 1 MiB if more than one.
    """
    with h5py.File(path, "w") as file:
        for name, array in content.items():
            chunks = (1, max(1, min(array.shape[1], CHUNK // array[0, 0].nbytes)), array.shape[2])
            file.create_dataset(
                name, data=array, chunks=chunks, compression="gzip", compression_opts=level
            )


def read_plain(path: Path) -> Arrays:
    """Every dataset of :func:`write_plain`."""
    with h5py.File(path) as file:
        return {name: dataset[:] for name, dataset in file.items()}
