"""Rasters on disk: size and speed of this project's file beside other ways to keep the same spikes with h5py.

Every way is given the spikes in the form that it stores, and must read back the same. This project's writer also takes
digests and counts, makes shards that survive a kill and syncs them to disk, and its reader checks all of that. What is
read was just written, so it comes from memory. Speeds are in bytes of packed bits, whatever the form.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from benchmarks.measurement import Case, Options, Row, per, quotients, race, scaled
from benchmarks.networks import SMALL, TINY, VGG11, Design, random_network, random_spikes
from benchmarks.recorded import simulate_and_record, simulate_in_memory, simulate_only
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.engine.folder import FolderStore, begin
from spikesam.pipeline.engine.header import raster_header
from spikesam.pipeline.engine.job import Job, JobSpec
from spikesam.pipeline.engine.keep import RASTER
from spikesam.pipeline.engine.merge import merge, remove_parts
from spikesam.pipeline.engine.sample import SampleResult
from spikesam.pipeline.engine.whole_raster import WholeRaster
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import encode_samples
from spikesam.recordings.schema import SampleTable

CHUNK = 1 << 20  # bytes
OURS = "spikesam"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Sizes:
    """What is recorded; `shares` say by firing rate how much recording may add to the time of simulating at most."""

    design: Design = VGG11
    rates: tuple[float, ...] = (0.05, 0.2)
    samples: int = 8  # in each file that is compared
    recorded: int = 32  # samples, where recording is compared with simulating
    shares: Mapping[float, float] = field(default_factory=lambda: {0.05: 0.2, 0.2: 0.12})
    small: Design = SMALL  # where recording costs most beside simulating
    small_recorded: int = 256


TINY_SIZES = Sizes(TINY, (0.2,), 2, 4, {}, TINY, 20)


@dataclass(frozen=True)
class Store:
    """A way to keep rasters: the form it stores, and functions that write it to a file and read that."""

    content: Arrays
    write: Callable[[Arrays, Path], None]
    read: Callable[[Path], Arrays]

    def write_new(self, folder: Path) -> Path:
        """Write a file of its own."""
        path = Path(tempfile.mkdtemp(dir=folder)) / "raster.h5"
        self.write(self.content, path)
        return path


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """What to measure; `scratch` is a folder for files."""
    sizes = TINY_SIZES if options.tiny else Sizes()
    for rate in sizes.rates:
        yield Case(f"files, {rate:.0%} firing", partial(files, sizes, rate, options, scratch))
        yield Case(f"recording, {rate:.0%} firing", partial(recording, sizes, rate, options, scratch))
    yield Case("recording a small network", partial(bounded_loss, sizes, options, scratch))


def files(sizes: Sizes, rate: float, options: Options, scratch: Path) -> Iterator[Row]:
    """Size, and speed of writing and reading, of every way to keep all layers of some samples."""
    case = f"{rate:.0%} firing"
    network, spikes = simulated(sizes, rate, options)
    batches = list(EventBackend().run(network, [spikes], sizes.samples))
    packed = {name: np.concatenate([batch.spikes[name] for batch in batches]) for name in network.raster_names}
    stores = all_stores(network, packed)
    content = b"".join(bits.tobytes() for bits in packed.values())
    megabytes, n_spikes = len(content) / 1e6, int(np.unpackbits(np.frombuffer(content, np.uint8)).sum())
    written = race({way: partial(store.write_new, scratch) for way, store in stores.items()}, options.repeats)
    read = race({way: partial(stores[way].read, found.result) for way, found in written.items()}, options.repeats)
    for way, store in stores.items():
        if any(not np.array_equal(read[way].result[name], array) for name, array in store.content.items()):
            raise RuntimeError(f"{way}: spikes did not come back as they were")
        bits = 8 * written[way].result.stat().st_size / n_spikes
        yield Row(case, way, "bits per spike", (bits,))
        yield Row(case, way, "MB/s written", per(megabytes, written[way].seconds))
        yield Row(case, way, "MB/s read", per(megabytes, read[way].seconds))
    share = n_spikes / (8 * len(content))
    entropy = -math.log2(share) - (1 - share) / share * math.log2(1 - share)
    yield Row(case, "entropy", "bits per spike", (entropy,), note="the least, were all spikes independent")
    chunks = [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]
    deflated = race({"": lambda: [isal_zlib.compress(chunk, 1) for chunk in chunks]}, options.repeats)[""]
    inflated = race({"": lambda: [isal_zlib.decompress(chunk) for chunk in deflated.result]}, options.repeats)[""]
    yield Row(case, "isal alone", "MB/s written", per(megabytes, deflated.seconds), note="compression on one core")
    yield Row(case, "isal alone", "MB/s read", per(megabytes, inflated.seconds), note="decompression on one core")


def recording(sizes: Sizes, rate: float, options: Options, scratch: Path) -> Iterator[Row]:
    """What recording adds to simulating on the event backend."""
    network, spikes = simulated(sizes, rate, options)
    samples = sizes.recorded
    timed = race(
        {
            "simulate": lambda: simulate_only(network, EventBackend(), spikes, samples),
            "record": lambda: simulate_and_record(network, EventBackend(), spikes, samples, scratch),
        },
        options.repeats,
    )
    shares = tuple(ratio - 1 for ratio in quotients(timed["record"].seconds, timed["simulate"].seconds))
    case = f"{rate:.0%} firing, {samples} images"
    wanted, note = sizes.shares.get(rate), "beyond the event backend's time"
    yield Row(case, "recording", "× simulating", shares, at_most=wanted, note=note)


def bounded_loss(sizes: Sizes, options: Options, scratch: Path) -> Iterator[Row]:
    """What it costs that a kill loses at most 15 finished samples: shards, each synced, then verified and merged."""
    rate, samples = 0.1, sizes.small_recorded
    network, spikes = simulated(sizes, rate, options, sizes.small)
    backend = EventBackend()
    timed = race(
        {
            "simulate": lambda: simulate_only(network, backend, spikes, samples),
            "in memory": lambda: simulate_in_memory(network, backend, spikes, samples),
            "on disk": lambda: simulate_and_record(network, backend, spikes, samples, scratch),
        },
        options.repeats,
    )
    case = f"a small network, {rate:.0%} firing, {samples} images"
    for way, found in timed.items():
        yield Row(case, way, "ms/image", scaled(found.seconds, 1e3 / samples))
    kept = tuple(on - off for on, off in zip(timed["on disk"].seconds, timed["in memory"].seconds, strict=True))
    note = "on disk less in memory: shards of 16 samples, each synced, then verified and merged"
    yield Row(case, "safe from a kill", "ms/image", scaled(kept, 1e3 / samples), note=note)


def simulated(
    sizes: Sizes, rate: float, options: Options, design: Design | None = None
) -> tuple[Network, NDArray[np.bool_]]:
    """A network and its input."""
    network = quantise(random_network(design or sizes.design, rate, options.seed))
    return network, random_spikes(network.input_shape, network.timesteps, sizes.samples, rate, options.seed)


def all_stores(network: Network, packed: Arrays) -> dict[str, Store]:
    """This project's file and its peers, for packed bits (N, T, bytes) of every raster."""
    bits = {
        name: np.unpackbits(packed[name], axis=-1, count=math.prod(shape)).view(np.bool_)
        for name, shape in zip(network.raster_names, network.raster_shapes, strict=True)
    }
    events: Arrays = {}
    for name, spikes in bits.items():
        events[f"{name}/neuron"] = np.nonzero(spikes)[-1].astype(np.uint32)
        events[f"{name}/count"] = spikes.sum(axis=-1, dtype=np.uint32)
    return {
        OURS: Store(packed, partial(write_ours, network), read_ours),
        "bits, gzip 1": Store(packed, partial(write_plain, level=1), read_plain),
        "bool, gzip 4": Store(bits, partial(write_plain, level=4), read_plain),
        "events, shuffle, gzip 1": Store(events, partial(write_plain, level=1, shuffle=True), read_plain),
    }


def write_ours(network: Network, packed: Arrays, path: Path) -> None:
    """What spikesam run does with what a backend hands over."""
    samples = len(next(iter(packed.values())))
    table = SampleTable(np.arange(samples), np.full(samples, -1))
    backend = EventBackend()
    spec = JobSpec(raster_header(network, backend, "random", 0), table, RASTER)
    job = begin(path.parent, Job(spec, network, _read, backend))
    store = FolderStore(path.parent, job, whole=(whole := WholeRaster(path.parent, job.spec)))
    batch = RasterBatch(packed, np.zeros((samples, network.classes), np.int32))
    for record in encode_samples(job.spec.header, batch, range(samples)):
        store.add(SampleResult(record, ""))
    store.flush()
    merge(path.parent, job.spec, whole=whole)
    remove_parts(path.parent)


def _read(positions: range) -> NoReturn:
    """Samples are not read: their spikes are there."""
    raise NotImplementedError


def read_ours(path: Path) -> Arrays:
    """Every raster, sample by sample, all checked."""
    with RasterReader(path) as reader:
        samples = range(reader.n_samples)
        return {layer.name: np.stack([reader.packed(layer, sample) for sample in samples]) for layer in reader.layers}


def write_plain(content: Arrays, path: Path, level: int, shuffle: bool = False) -> None:
    """One dataset per array, in chunks of whole steps, through HDF5's own filters."""
    with h5py.File(path, "w") as file:
        for name, array in content.items():
            file.create_dataset(
                name,
                data=array,
                chunks=chunk_shape(array),
                compression="gzip",
                compression_opts=level,
                shuffle=shuffle,
            )


def read_plain(path: Path) -> Arrays:
    """Every dataset of :func:`write_plain`."""
    found: Arrays = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None)
    return found


def chunk_shape(array: NDArray[Any]) -> tuple[int, ...] | bool:
    """Some steps of one sample, at most 1 MiB if more than one; as h5py likes for what are no rasters."""
    if array.ndim < 3:
        return True
    steps, step_bytes = array.shape[1], array[0, 0].nbytes
    return (1, max(1, min(steps, CHUNK // step_bytes)), array.shape[2])
