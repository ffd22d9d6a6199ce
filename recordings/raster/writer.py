"""Writing a raster from batches: whole in memory, or sample by sample while nobody knows how many
there will be.
"""

from __future__ import annotations

import io
import pickle
import re
import shutil
import uuid
from array import array
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.disk import check_free, remove_leftovers, writing
from spikesam.common.errors import OVERWRITE, InputError
from spikesam.common.files import refuse_replacing
from spikesam.common.parallel import cores, in_order
from spikesam.recordings.chunks import SPIKE_WINDOW_BITS
from spikesam.recordings.digests import pad_bits_clear, spike_counts
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.schema import PRECISIONS, RasterHeader
from spikesam.recordings.schema import PREDICTION, SampleTable
from spikesam.recordings.writer import SampleRecord, writing_samples

SPEC, SUFFIX = "job.json", ".range"  # in the folder of an unfinished run: what it computes; ranges
RANGE_FILE = re.compile(rf"[0-9]+\{SUFFIX}|\.[0-9]+\{SUFFIX}\.claim")
# Where workers of a cluster put files; dask takes a folder whose name begins so as it is.
SCRATCH = ".dask-scratch-space-"
SCRATCH_FOLDER = re.compile(re.escape(SCRATCH) + "[0-9a-f]{16}")


def make_record(
    header: RasterHeader, batch: RasterBatch, row: int, position: int, *, keep_spikes: bool = True
) -> SampleRecord:
    """Encode one sample of a batch; without its spikes, only their counts and digests are taken."""
    readout = np.array(batch.readout[row], PRECISIONS[header.precision])
    prediction = -1 if batch.predictions is None else int(batch.predictions[row])
    if header.classes:
        prediction = int(header.predictions(readout[None])[0])
    record = SampleRecord(position, {PREDICTION: prediction})
    record.rows["/readout"] = readout
    for layer in header.layers:
        packed, dataset = batch.spikes[layer.name][row], header.one_sample[layer.path("spikes")]
        record.rows[layer.path("count")] = spike_counts(packed)
        record.encode(dataset, packed, keep=keep_spikes, window_bits=SPIKE_WINDOW_BITS)
    return record


def raster_image(
    header: RasterHeader, samples: SampleTable, run_uuid: str, records: list[SampleRecord]
) -> bytes:
    """The content of a raster file that holds these records, one for each sample, in order."""
    memory = io.BytesIO()
    memory.seek(sum(record.nbytes for record in records))
    memory.write(b"\0")  # room for all: growing step by step copies megabytes again and again
    with writing_samples(memory, header, samples, run_uuid=run_uuid) as writer:
        writer.add(0, records)
    return memory.getvalue()


def encode_samples(
    header: RasterHeader, batch: RasterBatch, positions: Sequence[int]
) -> Generator[SampleRecord, None, None]:
    """Check a batch and encode its samples, which stand at these positions; a core takes one at a
    time.
    """
    check_batch(header, batch)
    rows, workers = enumerate(positions), max(1, min(cores(), len(batch)))
    return in_order(lambda row: make_record(header, batch, *row), rows, workers)


def check_batch(header: RasterHeader, batch: RasterBatch) -> None:
    """Refuse a batch that is not what the header says with a ValueError: a fault of the program."""
    expected: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
        layer.name: ((len(batch), header.timesteps, layer.step_bytes), np.dtype(np.uint8))
        for layer in header.layers
    }
    arrays: dict[str, NDArray[Any]] = dict(batch.spikes)
    if set(arrays) != set(expected):
        raise ValueError(
            f"a batch with layers {', '.join(arrays)}; the header has {', '.join(expected)}"
        )
    expected["/readout"] = ((len(batch), header.classes), PRECISIONS[header.precision])
    arrays["/readout"] = batch.readout
    if batch.predictions is not None:
        if header.classes:
            raise ValueError(
                "a batch with predictions, which the readout of the header gives already"
            )
        expected["/predictions"], arrays["/predictions"] = (
            ((len(batch),), np.dtype(np.int32)),
            batch.predictions,
        )
    for name, (shape, dtype) in expected.items():
        if (arrays[name].shape, arrays[name].dtype) != (shape, dtype):
            raise ValueError(
                f"{name}: {arrays[name].shape} {arrays[name].dtype}, the header says {shape} "
                f"{dtype}"
            )
    for layer in header.layers:
        if not pad_bits_clear(arrays[layer.name], layer.neurons):
            raise ValueError(f"{layer.name}: pad bits are set")


def parts_of(path: Path) -> Path:
    """The folder of the ranges of an unfinished run: `raster.h5` -> `raster.parts`."""
    return path.with_name(path.name.removesuffix(".h5") + ".parts")


def remove_parts(parts: Path) -> None:
    """Remove the files of ranges that a run left, what its workers wrote, what it computes last,
    and the folder; whatever else lies there stays.
    """
    with suppress(OSError):  # another process removes it, too, or somebody else's file is in it
        remove_leftovers(parts)
        for file in parts.iterdir():
            if RANGE_FILE.fullmatch(file.name):
                file.unlink(missing_ok=True)
            elif SCRATCH_FOLDER.fullmatch(file.name):  # a kill left it
                shutil.rmtree(file, ignore_errors=True)
        (parts / SPEC).unlink(missing_ok=True)
        parts.rmdir()


def _is_run(parts: Path) -> bool:
    """True of a folder that a run made, which is known by what it computes."""
    return (parts / SPEC).is_file()


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse to touch an earlier file, or what a run that was cut off left of one, unless it may be
    replaced.
    """
    refuse_replacing(path, overwrite, out="name")
    if _is_run(parts := parts_of(path)) and not overwrite:
        raise InputError(f"{parts}: a run that has not finished left this", OVERWRITE, out="name")


def remove_unfinished(path: Path) -> None:
    """Remove what a run that was cut off left of the file that is there now."""
    if _is_run(parts := parts_of(path)):
        remove_parts(parts)


class GrowingWriter:
    """Records samples batch by batch. The file appears whole when :meth:`finalize` is called, or
    not at all.

    Meanwhile encoded samples lie beside it in a file without a name, made with the first of them,
    of which a kill leaves nothing. Hold `file_lock` on the path, or a lock on its folder. With
    `overwrite`, the new file replaces an existing one when it is whole, and what a run that was cut
    off left of one. An InputError says if the disk is full or cannot be written.
    """

    def __init__(self, path: Path, header: RasterHeader, *, overwrite: bool = False) -> None:
        refuse_existing(path, overwrite)
        self.path, self.header, self._overwrite = path, header, overwrite
        self._index, self._label = array("q"), array("i")
        self._encoded: IO[bytes] | None = None

    @property
    def n_samples(self) -> int:
        """The number recorded so far."""
        return len(self._index)

    def append(self, batch: RasterBatch, samples: SampleTable) -> None:
        """Take the rasters of the next samples; a ValueError if they are not what the header
        says.
        """
        positions = range(self.n_samples, self.n_samples + len(batch))
        with closing(encode_samples(self.header, batch, positions)) as records, writing(self.path):
            if self._encoded is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._encoded = TemporaryFile(dir=self.path.parent)  # noqa: SIM115  until it is discarded
            for record in records:
                pickle.dump(record, self._encoded)
        self._index.extend(samples.index.tolist())
        self._label.extend(samples.label.tolist())

    def finalize(self) -> Path:
        """Make the file; returns the path."""
        samples = SampleTable(np.array(self._index), np.array(self._label))
        assert self._encoded is not None
        new = writing_samples(
            self.path, self.header, samples, overwrite=self._overwrite, run_uuid=str(uuid.uuid4())
        )
        with writing(self.path):
            check_free(
                self.path.parent, self._encoded.tell(), "; free space, or choose another name"
            )
            self._encoded.seek(0)
            with new as writer:
                for position in range(self.n_samples):
                    writer.add(position, [pickle.load(self._encoded)])
        remove_unfinished(self.path)
        self.discard()
        return self.path

    def discard(self) -> None:
        """Nothing is left of a file that is not finished."""
        if self._encoded is not None:
            self._encoded.close()
