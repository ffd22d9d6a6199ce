"""The spikes of a batch as samples ready to store, and a whole raster file made of them in memory."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.compress import SPIKE_WINDOW_BITS
from spikesam.recordings.digests import pad_bits_clear, spike_counts
from spikesam.recordings.parallel import cores, in_order
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.schema import PRECISIONS, RasterHeader
from spikesam.recordings.schema import PREDICTION, SampleTable
from spikesam.recordings.writer import SampleRecord, writing_samples

FLUSH_BYTES = 64 << 20  # of finished samples in memory at most, beyond the batch at hand


def make_record(
    header: RasterHeader, batch: RasterBatch, row: int, position: int, *, keep_spikes: bool = True
) -> SampleRecord:
    """Encode one sample of a batch; without its spikes, only their counts and digests are taken."""
    readout = np.array(batch.readout[row], PRECISIONS[header.precision])
    given = -1 if batch.predictions is None else int(batch.predictions[row])
    record = SampleRecord(position, {PREDICTION: int(readout.argmax()) if header.classes else given})
    record.rows["/readout"] = readout
    for layer in header.layers:
        packed, dataset = batch.spikes[layer.name][row], header.one_sample[layer.path("spikes")]
        record.rows[layer.path("count")] = spike_counts(packed)
        record.encode(dataset, packed, keep=keep_spikes, window_bits=SPIKE_WINDOW_BITS)
    return record


def raster_image(header: RasterHeader, samples: SampleTable, run_uuid: str, records: list[SampleRecord]) -> bytes:
    """The content of a raster file that holds these records, one for each sample, in order."""
    memory = io.BytesIO()
    with writing_samples(memory, header, samples, run_uuid=run_uuid) as writer:
        writer.add(0, records)
    return memory.getvalue()


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
