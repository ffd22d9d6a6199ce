"""Samples ready to store, and a whole raster file made of them in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.chunks import encode_chunks, store_chunks
from recordings.compress import SPIKE_WINDOW_BITS
from recordings.digests import raster_digest, sample_digest, spike_counts
from recordings.schema import SampleTable
from recordings.target import hdf5_in_memory

from .batch import RasterBatch
from .layout import lay_out, mark_complete
from .schema import LAYER_DATASETS, PRECISIONS, LayerSpec, RasterHeader


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


def make_record(header: RasterHeader, batch: RasterBatch, row: int, position: int) -> SampleRecord:
    """Encode one sample of a batch."""
    readout = np.array(batch.readout[row], PRECISIONS[header.precision])
    given = -1 if batch.predictions is None else int(batch.predictions[row])
    prediction = int(readout.argmax()) if header.classes else given
    layers = {layer.name: _make_layer(header, layer, batch.spikes[layer.name][row]) for layer in header.layers}
    return SampleRecord(position, readout, prediction, layers)


def _make_layer(header: RasterHeader, layer: LayerSpec, packed: NDArray[np.uint8]) -> LayerRecord:
    steps = LAYER_DATASETS["spikes"].chunks(header.sizes(1, layer))[1]
    chunks = list(encode_chunks(packed, steps, window_bits=SPIKE_WINDOW_BITS))
    return LayerRecord(chunks, spike_counts(packed), sample_digest(packed))


def raster_image(header: RasterHeader, samples: SampleTable, run_uuid: str, records: list[SampleRecord]) -> bytes:
    """The content of a raster file that holds these records, one for each sample, in order."""
    with hdf5_in_memory() as (file, image):
        lay_out(file, header, samples, run_uuid)
        if header.classes:
            file["readout"][:] = np.stack([record.readout for record in records])
        file["samples/prediction"][:] = [record.prediction for record in records]
        for layer in header.layers:
            group = file[f"layers/{layer.group}"]
            of_layer = [record.layers[layer.name] for record in records]
            group["count"][:] = np.stack([part.counts for part in of_layer])
            group["digest"][:] = np.array([part.digest for part in of_layer], "S64")
            store_chunks(group["spikes"], 0, (part.chunks for part in of_layer))
        mark_complete(file, raster_digest(file[f"layers/{layer.group}/digest"][:] for layer in header.layers))
        return image()
