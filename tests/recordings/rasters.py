"""Small rasters for the tests, and the script that wrote the golden file: `python -m
tests.recordings.rasters FILE`.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.recordings import inspection
from spikesam.recordings.chunks import compress
from spikesam.recordings.digests import content_digest, sample_digest
from spikesam.recordings.raster.batch import RasterBatch, pack
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.raster.writer import GrowingWriter
from spikesam.recordings.schema import PREDICTION, Header, SampleTable
from spikesam.recordings.writer import SampleRecord, writing_samples

GOLDEN = Path(__file__).with_name("golden-v3.h5")

LAYERS = (
    LayerSpec("input", 0, (2, 4, 5), "input", 0.0, 0.0),
    LayerSpec("conv1", 1, (3, 4, 5), "conv", 4096.0, 0.99),  # 60 neurons: 8 bytes with 4 pad bits
    LayerSpec("fc1", 2, (7, 1, 1), "dense", 4096.0, 0.99),
)
HEADER = RasterHeader(
    backend="torch",
    device="cpu",
    precision="fixed",
    timesteps=6,
    dt=0.001,
    seed=7,
    network_sha256="ab" * 32,
    dataset="made-up",
    config='{"samples": 20}',
    layers=LAYERS,
    classes=3,
    readout_scale=0.5,
)


def samples(count: int) -> SampleTable:
    """Every third sample of a data set; labels 0, 1, 2, -1, 0 …"""
    return SampleTable(np.arange(count) * 3, np.arange(count) % 4 - (np.arange(count) % 4 == 3) * 4)


def spikes(header: RasterHeader, layer: LayerSpec, position: int) -> NDArray[np.bool_]:
    """(T, C, H, W): the made-up spikes of one sample, about a fifth of all bits; a function of its
    position alone.
    """
    random = np.random.default_rng([header.seed, position, layer.number])
    return random.random((header.timesteps, *layer.shape)) < 0.2


def readout(header: RasterHeader, position: int) -> NDArray[np.int32]:
    """(K,) small integers, so that ties occur."""
    return np.random.default_rng(position).integers(-3, 4, header.classes).astype(np.int32)


def batch(header: RasterHeader, positions: NDArray[np.int64] | range) -> RasterBatch:
    """What a backend would hand over for these samples."""
    dtype = np.int32 if header.precision == "fixed" else np.float32
    return RasterBatch(
        {
            layer.name: pack(np.stack([spikes(header, layer, int(at)) for at in positions], axis=1))
            for layer in header.layers
        },
        np.stack([readout(header, int(at)) for at in positions]).astype(dtype),
    )


def grown(
    path: Path, count: int, size: int, overwrite: bool = False, header: RasterHeader = HEADER
) -> GrowingWriter:
    """A writer that was given so many made-up samples, in batches of `size`."""
    writer, every = GrowingWriter(path, header, overwrite=overwrite), samples(count)
    for first in range(0, count, size):
        rows = range(first, min(first + size, count))
        writer.append(batch(header, rows), every[rows.start : rows.stop])
    return writer


def record(directory: Path, count: int, header: RasterHeader = HEADER, size: int = 5) -> Path:
    """Record made-up samples from beginning to end."""
    return grown(directory / "raster.h5", count, size, header=header).finalize()


def record_silence(
    path: Path, samples: SampleTable, timesteps: int, shape: tuple[int, int, int]
) -> None:
    """Write a raster of any size in which nothing fires; it takes a thousandth of what it
    declares.
    """
    layer = LayerSpec("conv1", 1, shape, "conv", 0.0, 0.0)
    header = replace(HEADER, timesteps=timesteps, layers=(layer,), classes=0, readout_scale=1.0)
    dataset = header.one_sample[layer.path("spikes")]
    _, steps, size = dataset.chunks
    rows = {PREDICTION: -1, layer.path("count"): np.zeros(timesteps, np.uint32)}
    rows[dataset.digests] = sample_digest(np.zeros((timesteps, size), np.uint8))
    silent = SampleRecord(
        0, rows, {dataset.path: [compress(bytes(steps * size))] * -(-timesteps // steps)}
    )
    with writing_samples(path, header, samples, run_uuid="a run") as writer:
        writer.add(0, [silent] * len(samples))


def inspecting_process() -> int:
    """Number of the process that opens files before this one does."""
    RasterReader(GOLDEN).close()
    assert inspection._current is not None
    return inspection._current._process.pid


def seal(file: h5py.File, header: Header) -> None:
    """Let the content digest of a file that was changed say what is there now, as whoever forges a
    file would.
    """
    datasets = header.datasets(len(file["samples/index"]))
    about = {
        path: dict(file[path].attrs)
        for path in ("/", *(each.path for each in datasets if each.attributes))
    }
    tables = (file[each.path][:] for each in datasets if not each.digests)
    file.attrs["content_digest"] = content_digest(about, tables)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        record(Path(scratch), 3, replace(HEADER, config='{"golden": true}')).replace(
            Path(sys.argv[1])
        )
