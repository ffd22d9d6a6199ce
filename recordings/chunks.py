"""Tables, and the chunks of a sample: whole steps, encoded outside HDF5, which is slow at it, and stored as they are.

Datasets are those of HDF5's own interface; what h5py builds upon it takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.compress import encode


def encode_chunks(sample: NDArray[Any], steps: int, **options: int) -> Iterator[bytes]:
    """Cut (T, ...) into chunks of `steps` steps, the last one padded with zeros; `options` are those of `encode`."""
    size = steps * sample[0].nbytes
    for first in range(0, len(sample), steps):
        chunk = np.ascontiguousarray(sample[first : first + steps])
        yield encode(chunk if chunk.nbytes == size else chunk.tobytes().ljust(size, b"\0"), **options)


def open_dataset(file: h5py.File, path: str) -> h5py.h5d.DatasetID:
    """A dataset of a file that needs no check."""
    return h5py.h5d.open(file.id, path.encode())


def read_table(file: h5py.File, path: str) -> NDArray[Any]:
    """Read a whole dataset."""
    dataset = open_dataset(file, path)
    array = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


def write_table(file: h5py.File, path: str, table: NDArray[Any]) -> None:
    """Write a whole dataset, whose dtype the array has."""
    open_dataset(file, path).write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(table))


def write_rows(dataset: h5py.h5d.DatasetID, first: int, rows: NDArray[Any]) -> None:
    """Write consecutive rows of a table, from row `first` on."""
    place = dataset.get_space()
    place.select_hyperslab((first, *[0] * (rows.ndim - 1)), rows.shape)
    dataset.write(h5py.h5s.create_simple(rows.shape), place, np.ascontiguousarray(rows))


def stored_chunks(file: h5py.File, content: bytes, path: str) -> list[list[memoryview]]:
    """The stored chunks of every row of a dataset, each in order; `content` is the whole file, which needs no check."""
    dataset, whole = open_dataset(file, path), memoryview(content)
    found: dict[tuple[int, ...], memoryview] = {}
    dataset.chunk_iter(lambda at: found.update({at.chunk_offset: whole[at.byte_offset : at.byte_offset + at.size]}))
    rows: list[list[memoryview]] = [[] for _ in range(dataset.shape[0])]
    for place in sorted(found):
        rows[place[0]].append(found[place])
    return rows


def store_chunks(dataset: h5py.h5d.DatasetID, first: int, samples: Iterable[Iterable[bytes | memoryview]]) -> None:
    """Store the encoded chunks of consecutive samples, in order of time, from row `first` on."""
    inside, write = (0,) * (dataset.rank - 2), dataset.write_direct_chunk
    steps = dataset.get_create_plist().get_chunk()[1]
    for row, chunks in enumerate(samples, first):
        for number, chunk in enumerate(chunks):
            write((row, number * steps, *inside), chunk)
