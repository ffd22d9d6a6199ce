"""Samples ready to store, and a whole raster file made of them in memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.chunks import encode_chunks, open_dataset, store_chunks, write_table
from spikesam.recordings.compress import SPIKE_WINDOW_BITS
from spikesam.recordings.digests import pad_bits_clear, raster_digest, sample_digest, spike_counts
from spikesam.recordings.new_hdf5 import hdf5_in_memory
from spikesam.recordings.parallel import cores, in_order
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.layout import attributes, empty_raster, finish, table_paths
from spikesam.recordings.raster.schema import LAYER_DATASETS, PRECISIONS, LayerSpec, RasterHeader
from spikesam.recordings.schema import SampleTable

FLUSH_BYTES = 64 << 20  # of finished samples in memory at most, beyond the batch at hand


@dataclass(frozen=True)
class LayerRecord:
    """One layer of one sample, ready to store: encoded chunks in order of time, (T,) counts, hexadecimal digest."""

    chunks: list[bytes]
    counts: NDArray[np.uint32]
    digest: bytes


@dataclass(frozen=True)
class SampleRecord:
    """One sample, ready to store: its position in the raster, (K,) readout, prediction, and its layers by name."""

    position: int
    readout: NDArray[Any]
    prediction: int
    layers: dict[str, LayerRecord]

    @property
    def nbytes(self) -> int:
        """Bytes of its chunks."""
        return sum(len(chunk) for layer in self.layers.values() for chunk in layer.chunks)


def make_record(
    header: RasterHeader, batch: RasterBatch, row: int, position: int, *, keep_spikes: bool = True
) -> SampleRecord:
    """Encode one sample of a batch; without its spikes, only their counts and digests are taken."""
    readout = np.array(batch.readout[row], PRECISIONS[header.precision])
    given = -1 if batch.predictions is None else int(batch.predictions[row])
    prediction = int(readout.argmax()) if header.classes else given
    layers = {
        layer.name: _make_layer(header, layer, batch.spikes[layer.name][row], keep_spikes) for layer in header.layers
    }
    return SampleRecord(position, readout, prediction, layers)


def _make_layer(header: RasterHeader, layer: LayerSpec, packed: NDArray[np.uint8], keep_spikes: bool) -> LayerRecord:
    steps = LAYER_DATASETS["spikes"].chunks(header.sizes(1, layer))[1]
    chunks = list(encode_chunks(packed, steps, window_bits=SPIKE_WINDOW_BITS)) if keep_spikes else []
    return LayerRecord(chunks, spike_counts(packed), sample_digest(packed))


def raster_image(header: RasterHeader, samples: SampleTable, run_uuid: str, records: list[SampleRecord]) -> bytes:
    """The content of a raster file that holds these records, one for each sample, in order."""
    tables = tables_of(header, records) | {"/samples/index": samples.index, "/samples/label": samples.label}
    digest = raster_digest(tables[f"/layers/{layer.group}/digest"] for layer in header.layers)
    ordered = {
        path: tables[path].astype(tables[path].dtype.newbyteorder("<"), copy=False) for path in table_paths(header)
    }
    with hdf5_in_memory(empty_raster(header, len(samples), run_uuid)) as (file, image):
        for path, table in ordered.items():
            write_table(file, path, table)
        for layer in header.layers:
            chunks = (record.layers[layer.name].chunks for record in records)
            store_chunks(open_dataset(file, f"layers/{layer.group}/spikes"), 0, chunks)
        finish(file, digest, attributes(header, run_uuid), ordered.values())
        return image()


def tables_of(header: RasterHeader, records: list[SampleRecord]) -> dict[str, NDArray[Any]]:
    """What the tables of a raster say of these samples: path -> rows, but for their index and label."""
    tables: dict[str, NDArray[Any]] = {
        "/samples/prediction": np.array([record.prediction for record in records], np.int32),
        "/readout": np.stack([record.readout for record in records]),
    }
    for layer in header.layers:
        of_layer = [record.layers[layer.name] for record in records]
        tables[f"/layers/{layer.group}/count"] = np.stack([part.counts for part in of_layer])
        tables[f"/layers/{layer.group}/digest"] = np.array([part.digest for part in of_layer], "S64")
    return tables


def encode_samples(
    header: RasterHeader, batch: RasterBatch, positions: Sequence[int]
) -> Generator[SampleRecord, None, None]:
    """Check a batch, then encode its samples, which stand at these positions in the raster; a core takes one at a time.

    A batch that is not what the header says is a fault of the program, a ValueError.
    """
    check_batch(header, batch)
    rows, workers = enumerate(positions), max(1, min(cores(), len(batch)))
    return in_order(lambda row: make_record(header, batch, *row), rows, workers)


def check_batch(header: RasterHeader, batch: RasterBatch) -> None:
    """Refuse a batch that is not what the header says with a ValueError: a fault of the program."""
    expected: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
        layer.name: ((len(batch), header.timesteps, layer.step_bytes), np.dtype(np.uint8)) for layer in header.layers
    }
    arrays: dict[str, NDArray[Any]] = dict(batch.spikes)
    if set(arrays) != set(expected):
        raise ValueError(f"a batch with layers {', '.join(arrays)}; the header has {', '.join(expected)}")
    expected["/readout"] = ((len(batch), header.classes), PRECISIONS[header.precision])
    arrays["/readout"] = batch.readout
    if batch.predictions is not None:
        if header.classes:
            raise ValueError("a batch with predictions, which the readout of the header gives already")
        expected["/predictions"], arrays["/predictions"] = ((len(batch),), np.dtype(np.int32)), batch.predictions
    for name, (shape, dtype) in expected.items():
        if (arrays[name].shape, arrays[name].dtype) != (shape, dtype):
            raise ValueError(f"{name}: {arrays[name].shape} {arrays[name].dtype}, the header says {shape} {dtype}")
    for layer in header.layers:
        if not pad_bits_clear(arrays[layer.name], layer.neurons):
            raise ValueError(f"{layer.name}: pad bits are set")
