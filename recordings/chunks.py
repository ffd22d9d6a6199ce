"""The chunks of a sample: whole steps, encoded outside HDF5, which is slow at it, and stored as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .compress import encode


def encode_chunks(sample: NDArray[Any], steps: int, **options: int) -> Iterator[bytes]:
    """Cut (T, ...) into chunks of `steps` steps, the last one padded with zeros; `options` are those of `encode`."""
    size = steps * sample[0].nbytes
    for first in range(0, len(sample), steps):
        yield encode(sample[first : first + steps].tobytes().ljust(size, b"\0"), **options)


def write_table(file: h5py.File, path: str, table: NDArray[Any]) -> None:
    """Write a whole dataset, whose dtype the array has; h5py's own assignment takes ten times as long."""
    h5py.h5d.open(file.id, path.encode()).write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(table))


def write_rows(dataset: h5py.Dataset, first: int, rows: NDArray[Any]) -> None:
    """Write consecutive rows of a table, from row `first` on; see :func:`write_table`."""
    place = dataset.id.get_space()
    place.select_hyperslab((first, *[0] * (rows.ndim - 1)), rows.shape)
    dataset.id.write(h5py.h5s.create_simple(rows.shape), place, np.ascontiguousarray(rows))


def store_chunks(dataset: h5py.Dataset, first: int, samples: Iterable[Iterable[bytes | memoryview]]) -> None:
    """Store the encoded chunks of consecutive samples, in order of time, from row `first` on."""
    steps, inside, write = 0, (0,) * (dataset.id.rank - 2), dataset.id.write_direct_chunk
    for row, chunks in enumerate(samples, first):
        for number, chunk in enumerate(chunks):
            if number and not steps:  # most samples have one chunk, and h5py takes long to say how many steps one holds
                steps = dataset.chunks[1]
            write((row, number * steps, *inside), chunk)
