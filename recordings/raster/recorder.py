"""What every writer of rasters does: check each batch, encode its samples on all cores, keep them in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.digests import pad_bits_clear
from recordings.parallel import cores, in_order
from recordings.schema import SampleTable

from .batch import RasterBatch
from .records import SampleRecord, make_record
from .schema import PRECISIONS, RasterHeader


class Recorder(ABC):
    """Takes the rasters of a run, batch by batch.

    Parameters
    ----------
    header, samples : what the raster holds

    Attributes
    ----------
    remaining : (n,) int64 ascending — positions in `samples` still to compute
    """

    def __init__(self, header: RasterHeader, samples: SampleTable) -> None:
        self.header = header
        self.samples = samples
        self.remaining: NDArray[np.int64] = np.arange(len(samples))

    def append(self, batch: RasterBatch) -> None:
        """Take the rasters of the next samples of `remaining`, in order; each core encodes one sample at a time.

        Raises
        ------
        ValueError : if the batch is not what the header says, a fault of the program
        """
        if len(batch) > len(self.remaining):
            raise ValueError(f"a batch of {len(batch)} samples, but only {len(self.remaining)} remain")
        positions = self.remaining[: len(batch)].tolist()
        with closing(encode_samples(self.header, batch, positions)) as records:
            for record in records:
                self.take(record)

    def take(self, record: SampleRecord) -> None:
        """Take the next sample of `remaining`, encoded already."""
        if not len(self.remaining) or record.position != self.remaining[0]:
            raise ValueError(f"sample {record.position} is not the next one that remains")
        self.remaining = self.remaining[1:]
        self._keep(record)

    @abstractmethod
    def flush(self) -> None:
        """Put the samples held in memory safely on disk, if that is where they go."""

    @abstractmethod
    def finalize(self) -> Path | bytes:
        """Finish the raster; returns what :class:`recordings.raster.reader.RasterReader` opens.

        Raises
        ------
        ValueError : if samples are missing
        """

    @abstractmethod
    def _keep(self, record: SampleRecord) -> None:
        """Keep one sample."""

    def _check_nothing_remains(self) -> None:
        if len(self.remaining):
            raise ValueError(f"{len(self.remaining)} of {len(self.samples)} samples were never recorded")


def encode_samples(
    header: RasterHeader, batch: RasterBatch, positions: Sequence[int]
) -> Generator[SampleRecord, None, None]:
    """Check a batch, then encode its samples, which stand at these positions in the raster; a core takes one at a time.

    Raises
    ------
    ValueError : if the batch is not what the header says, a fault of the program
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
