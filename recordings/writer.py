"""Writing a raster or a file of maps from its samples, in any order; it appears whole or not at
all.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.chunks import (
    dataset_id,
    encode_chunks,
    read_table,
    store_chunks,
    stored_chunks,
    write_rows,
    write_table,
)
from spikesam.recordings.digests import content_digest, sample_digest
from spikesam.recordings.new_hdf5 import Target, create_dataset, hdf5_in_memory, new_hdf5
from spikesam.recordings.schema import PREDICTION, SAMPLE_DTYPES, DatasetSpec, Header, SampleTable


@dataclass(frozen=True)
class SampleRecord:
    """One sample, ready to store."""

    position: int  # in the raster or among the maps
    rows: dict[str, Any]  # path in the file -> its row of that table
    chunks: dict[str, list[bytes]] = field(
        default_factory=dict
    )  # path -> its encoded values, in order

    @property
    def prediction(self) -> int:
        """The class that the network chose, -1 where unknown."""
        return int(self.rows[PREDICTION])

    @property
    def nbytes(self) -> int:
        """Bytes of its chunks."""
        return sum(len(chunk) for chunks in self.chunks.values() for chunk in chunks)

    def encode(
        self, dataset: DatasetSpec, values: NDArray[Any], *, keep: bool = True, **options: int
    ) -> None:
        """Take its values of a dataset, (rows, …), and their digest; or the digest alone."""
        self.rows[dataset.digests] = sample_digest(values)
        if keep:
            self.chunks[dataset.path] = list(encode_chunks(values, dataset.chunks[1], **options))


@contextmanager
def writing_samples(
    target: Path | io.BytesIO,
    header: Header,
    samples: SampleTable,
    *,
    overwrite: bool = False,
    **identity: str,
) -> Iterator[SampleWriter]:
    """Write a file that is there when the block ends well, with every sample in it, or else not at
    all.

    A BytesIO is written from its beginning; what it holds if the block fails is not `complete`.
    `identity` are further root attributes, which tell files of one run apart, or runs.
    """
    if isinstance(target, io.BytesIO):
        root = ((name, value, type(value)) for name, value in header.attributes().items())
        empty = _empty(tuple(header.datasets(len(samples))), tuple(root))
        target.seek(0)
        target.write(empty)
        with hdf5_in_memory(target, "r+") as file:
            writer = SampleWriter(file, None, header, samples, identity)
            yield writer
            writer.finish()
        return
    with new_hdf5(target, overwrite=overwrite) as (file, disk):
        _lay_out(file, header.datasets(len(samples)), header.attributes())
        writer = SampleWriter(file, disk, header, samples, identity)
        yield writer
        writer.finish()


class SampleWriter:
    """Fills a file that was laid out; made by :func:`writing_samples`. Memory does not grow with
    N.
    """

    content_digest: str  # of the finished file

    def __init__(
        self,
        file: h5py.File,
        target: Target | None,
        header: Header,
        samples: SampleTable,
        identity: dict[str, str],
    ) -> None:
        self._file, self._target, self._header = file, target, header
        self._datasets = header.datasets(len(samples))
        self._root = header.attributes() | identity
        self._origins: dict[str, dict[str, None]] = {name: {} for name in header.JOINED}
        self._written = np.zeros(len(samples), np.bool_)
        file.attrs.update(identity)
        self._tables = {  # that are known whole, and need not be read from the file
            f"/samples/{name}": np.asarray(getattr(samples, name), SAMPLE_DTYPES[name])
            for name in ("index", "label")
        }
        for path, table in self._tables.items():
            write_table(file, path, table)
        filled = [
            dataset
            for dataset in self._datasets
            if dataset.path not in self._tables and not dataset.content
        ]
        self._filled = [(dataset, dataset_id(file, dataset.path)) for dataset in filled]

    def add(self, first: int, records: Sequence[SampleRecord]) -> None:
        """Store consecutive samples, from position `first` of this file on."""
        for dataset, place in self._filled:
            # Some datasets have the first samples alone.
            if of_dataset := records[: max(0, dataset.shape[0] - first)]:
                if dataset.digests:
                    store_chunks(
                        place, first, (record.chunks[dataset.path] for record in of_dataset)
                    )
                else:
                    rows = np.array(
                        [record.rows[dataset.path] for record in of_dataset], dataset.dtype
                    )
                    self._write(dataset, place, first, rows)
        self._added(first, len(records), self._root)

    def copy(self, first: int, content: bytes) -> None:
        """Take the samples of another file of this run, which needs no check, chunk by chunk, to
        `first` on.
        """
        with h5py.File(io.BytesIO(content), "r") as part:
            for dataset, place in self._filled:
                if first < dataset.shape[0]:
                    if dataset.digests:
                        store_chunks(place, first, stored_chunks(part, content, dataset.path))
                    else:
                        self._write(dataset, place, first, read_table(part, dataset.path))
            self._added(first, part[PREDICTION].shape[0], part.attrs)

    def sync(self) -> None:
        """Put on disk what was added; nothing in memory."""
        if self._target is not None:
            self._target.sync()

    def finish(self) -> None:
        """Mark the file complete; a fault of the program if a sample was never written."""
        if not self._written.all():
            raise ValueError(
                f"{self._written.sum()} samples were written, expected {len(self._written)}"
            )
        last = self._header.derived(self._table)
        for name, origins in self._origins.items():  # who finishes the file stands last
            joined = "+".join(sorted(origins, key=getattr(self._header, name).__eq__))
            if joined != self._root[name]:
                last[name] = joined
        attributes = {
            dataset.path: dataset.attributes for dataset in self._datasets if dataset.attributes
        }
        tables = (self._table(dataset.path) for dataset in self._datasets if not dataset.digests)
        self.content_digest = last["content_digest"] = content_digest(
            {"/": self._root | last, **attributes}, tables
        )
        self._file.attrs.update({**last, "complete": True})

    def _added(self, first: int, count: int, root: Any) -> None:
        for name, origins in self._origins.items():
            origins[root[name]] = None
        self._written[first : first + count] = True
        if self._target is not None:
            self._target.check()

    def _write(
        self, dataset: DatasetSpec, place: h5py.h5d.DatasetID, first: int, rows: NDArray[Any]
    ) -> None:
        write_rows(place, first, rows)
        if len(rows) == dataset.shape[0]:
            self._tables[dataset.path] = rows

    def _table(self, path: str) -> NDArray[Any]:
        return self._tables[path] if path in self._tables else read_table(self._file, path)


def _lay_out(file: h5py.File, datasets: Sequence[DatasetSpec], root: dict[str, Any]) -> None:
    """Write attributes and empty datasets; `complete` stays false until
    :meth:`SampleWriter.finish`.
    """
    for dataset in datasets:
        create_dataset(file, dataset)
    file.attrs.update({**root, "complete": False, "content_digest": ""})


@lru_cache(maxsize=4)
def _empty(datasets: tuple[DatasetSpec, ...], root: tuple[tuple[str, Any, type], ...]) -> bytes:
    """The content of a file that is laid out: parts of a run share it. Types are given since 1 ==
    1.0 == True.
    """
    with hdf5_in_memory(memory := io.BytesIO(), "w") as file:
        _lay_out(file, datasets, {name: value for name, value, _ in root})
    return memory.getvalue()
