"""Writing a file of maps sample by sample; it appears whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.chunks import open_dataset, read_table, store_chunks, stored_chunks, write_rows, write_table
from spikesam.recordings.digests import content_digest
from spikesam.recordings.disk import reason
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import file_lock
from spikesam.recordings.maps.layout import attributes, empty_maps, lay_out
from spikesam.recordings.maps.records import MapRecord, make_map_record
from spikesam.recordings.maps.schema import STEPS, MapHeader, digest_path
from spikesam.recordings.new_hdf5 import hdf5_in_memory, new_hdf5
from spikesam.recordings.schema import SAMPLE_DATASETS, SampleTable


class MapWriter:
    """Writes maps sample by sample, so that memory does not grow with N; made by :func:`writing_maps`.

    Attributes
    ----------
    content_digest : of the finished file
    """

    content_digest: str

    def __init__(self, file: h5py.File, header: MapHeader, samples: SampleTable, check: Callable[[], object]) -> None:
        self._file, self._header, self._samples, self._check = file, header, samples, check
        self._written = np.zeros(len(samples), np.bool_)
        self._predictions = np.zeros(len(samples), np.int32)
        kept = (kept for layer in header.layers for kept in header.datasets(layer, len(samples)))
        self._rows = {path: rows for path, _, rows in kept}  # of each dataset of maps
        self._datasets = {name: open_dataset(file, name) for path in self._rows for name in (path, digest_path(path))}

    def write(
        self,
        sample: int,
        prediction: int,
        sums: Mapping[str, NDArray[np.float32]],
        maps: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Store one sample; see :func:`spikesam.recordings.maps.records.make_map_record`."""
        self.store(sample, [make_map_record(self._header, sample, prediction, sums, maps)])

    def store(self, first: int, records: Sequence[MapRecord]) -> None:
        """Store consecutive samples, encoded already, from position `first` on."""
        for path, rows in self._rows.items():
            if of_layer := records[: max(0, rows - first)]:
                store_chunks(self._datasets[path], first, (record.chunks[path] for record in of_layer))
                digests = np.array([record.digests[path] for record in of_layer], "S64")
                write_rows(self._datasets[digest_path(path)], first, digests)
        self._finished(first, np.array([record.prediction for record in records], np.int32))

    def copy(self, first: int, content: bytes) -> None:
        """Take the samples of another file of the same maps, chunk by chunk as they are stored, to `first` on."""
        with h5py.File(io.BytesIO(content), "r") as maps:
            for path, rows in self._rows.items():
                if first < rows:
                    store_chunks(self._datasets[path], first, stored_chunks(maps, content, path))
                    write_rows(self._datasets[digest_path(path)], first, read_table(maps, digest_path(path)))
            self._finished(first, read_table(maps, "/samples/prediction"))

    def finish(self) -> None:
        """Mark the file complete; a fault of the program if a sample was never written."""
        if not self._written.all():
            raise ValueError(f"maps of {self._written.sum()} samples were written, expected {len(self._written)}")
        samples = {"index": self._samples.index, "label": self._samples.label, "prediction": self._predictions}
        for name, table in samples.items():
            write_table(self._file, f"/samples/{name}", np.asarray(table, SAMPLE_DATASETS[name].dtype))
        if self._header.stepped:
            write_table(self._file, "/steps", np.array(self._header.steps, STEPS.dtype))
        paths = (*(f"/samples/{name}" for name in SAMPLE_DATASETS), *self._header.tables())
        self.content_digest = content_digest(attributes(self._header), (read_table(self._file, path) for path in paths))
        self._file.attrs["content_digest"] = self.content_digest
        self._file.attrs["complete"] = True

    def _finished(self, first: int, predictions: NDArray[np.int32]) -> None:
        self._predictions[first : first + len(predictions)] = predictions
        self._written[first : first + len(predictions)] = True
        self._check()


@contextmanager
def writing_maps(
    target: Path | str | io.BytesIO, header: MapHeader, samples: SampleTable, *, overwrite: bool = False
) -> Iterator[MapWriter]:
    """Write a file of maps that is at `target` when the block ends well, with every map in it, or else not at all.

    Parameters
    ----------
    target : name of the file, or what holds its content in memory afterwards

    Raises
    ------
    InputError : if it cannot be written there, exists, is being written by another, or the disk is full
    """
    if header.stepped > len(samples):
        raise ValueError(f"{header.stepped} of {len(samples)} samples have maps step by step")
    if isinstance(target, io.BytesIO):
        with hdf5_in_memory(empty_maps(replace(header, source="0" * 64), len(samples))) as (file, image):
            file.attrs[header.source_name] = header.source
            writer = MapWriter(file, header, samples, lambda: None)
            yield writer
            writer.finish()
            target.seek(0)
            target.truncate()
            target.write(image())
        return
    path = Path(target)
    try:
        with file_lock(path), new_hdf5(path, overwrite=overwrite) as (file, check):
            lay_out(file, header, len(samples))
            writer = MapWriter(file, header, samples, check)
            yield writer
            writer.finish()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be written ({reason(error)})", "free-space") from error
