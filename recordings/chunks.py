"""Tables, and the chunks of a sample: whole steps, encoded outside HDF5, which is slow at it, and
stored as they are.

A stored chunk is a zlib stream followed by HDF5's fletcher32 checksum. isal writes and reads
standard deflate several times faster than the zlib inside HDF5. The bytes are what HDF5's own
filters would take, so any HDF5 reader decodes them. Datasets are those of HDF5's own interface;
what h5py builds upon it takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np
from isal import igzip_lib, isal_zlib
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

DEFLATE_LEVEL = 1
# Spikes hardly repeat, except where there are none: references to earlier bytes cost more time and
# space than a Huffman code of the bytes. Two bytes to look back to are enough for runs of zeros.
SPIKE_WINDOW_BITS = 1
CHECKSUM_BYTES = 4
ROW = 1024  # words of a checksum that are added up at a time


class ChunkError(ValueError):
    """The stored bytes of a chunk are damaged."""


def compress(chunk: bytes | NDArray[Any], window_bits: int = igzip_lib.MAX_HIST_BITS) -> bytes:
    """Compress bytes or a C-contiguous array, looking back at most 2^`window_bits` bytes, then
    append the checksum.
    """
    stream = igzip_lib.compress(
        chunk,
        DEFLATE_LEVEL,
        igzip_lib.COMP_ZLIB,
        igzip_lib.MEM_LEVEL_DEFAULT,
        hist_bits=window_bits,
    )
    return stream + fletcher32(stream)


def decompress(stored: bytes, size: int) -> bytes:
    """Undo :func:`compress`, else a ChunkError; never allocates more than `size` bytes, whatever
    the stream claims.
    """
    stream, checksum = memoryview(stored)[:-CHECKSUM_BYTES], stored[-CHECKSUM_BYTES:]
    if fletcher32(stream) != checksum:
        raise ChunkError("its fletcher32 checksum does not match")
    decoder = isal_zlib.decompressobj()
    try:
        chunk = decoder.decompress(stream, size)
        surplus = not decoder.eof and decoder.decompress(decoder.unconsumed_tail, 1)
    except IsalError as error:  # type: ignore[misc]  # its stub calls the class an instance
        raise ChunkError(f"its deflate stream is damaged ({error})") from error
    if len(chunk) != size or surplus or not decoder.eof:
        raise ChunkError(f"its deflate stream does not hold exactly {size:,} bytes")
    return bytes(chunk)


def largest_stored(size: int) -> int:
    """More than any deflate encoder makes of `size` bytes."""
    return 2 * size + 1024


def fletcher32(data: bytes | memoryview) -> bytes:
    """Checksum of HDF5 (src/H5checksum.c): sums modulo 65535 over big-endian 16-bit words, written
    little-endian.

    With words w_0 … w_{n-1}, an odd last byte padded with zero: low half Σ w_i, high half Σ (n - i)
    w_i. HDF5's end-around carry writes a sum that is a multiple of 65535 as 65535, and as 0 only if
    every word is zero. The words are laid out in rows, whose sums and those of the columns give
    both halves. They are taken as little-endian: swapping the bytes of a word multiplies it by 256,
    modulo 65535.
    """
    words = np.zeros((-(-len(data) // (2 * ROW)), ROW), "<u2")
    words.view(np.uint8).reshape(-1)[: len(data)] = np.frombuffer(data, np.uint8)
    rows, columns = words.sum(1, np.uint32).astype(np.uint64), words.sum(0, np.uint64)
    total, count = int(rows.sum()), -(-len(data) // 2)
    by_row, by_column = (
        int(sums @ np.arange(len(sums), dtype=np.uint64)) for sums in (rows, columns)
    )
    halves = (256 * total, 256 * (count * total - ROW * by_row - by_column))
    low, high = (half and (half - 1) % 65535 + 1 for half in halves)
    return (high << 16 | low).to_bytes(CHECKSUM_BYTES, "little")


def encode_chunks(sample: NDArray[Any], steps: int, **options: int) -> Iterator[bytes]:
    """Cut (T, ...) into chunks of `steps` steps, the last one padded with zeros; `options` are
    those of `compress`.
    """
    size = steps * sample[0].nbytes
    for first in range(0, len(sample), steps):
        chunk = np.ascontiguousarray(sample[first : first + steps])
        yield compress(
            chunk if chunk.nbytes == size else chunk.tobytes().ljust(size, b"\0"), **options
        )


def dataset_id(file: h5py.File, path: str) -> h5py.h5d.DatasetID:
    """A dataset of a file that needs no check."""
    return h5py.h5d.open(file.id, path.encode())


def read_table(file: h5py.File, path: str) -> NDArray[Any]:
    """Read a whole dataset."""
    dataset = dataset_id(file, path)
    array = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


def write_table(file: h5py.File, path: str, table: NDArray[Any]) -> None:
    """Write a whole dataset, whose dtype the array has."""
    dataset_id(file, path).write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(table))


def write_rows(dataset: h5py.h5d.DatasetID, first: int, rows: NDArray[Any]) -> None:
    """Write consecutive rows of a table, from row `first` on."""
    place = dataset.get_space()
    place.select_hyperslab((first, *[0] * (rows.ndim - 1)), rows.shape)
    dataset.write(h5py.h5s.create_simple(rows.shape), place, np.ascontiguousarray(rows))


def stored_chunks(file: h5py.File, content: bytes, path: str) -> list[list[memoryview]]:
    """The stored chunks of every row of a dataset, each in order; `content` is the whole file,
    which needs no check.
    """
    dataset, file_bytes = dataset_id(file, path), memoryview(content)
    chunks: dict[tuple[int, ...], memoryview] = {}
    dataset.chunk_iter(
        lambda chunk: chunks.update(
            {chunk.chunk_offset: file_bytes[chunk.byte_offset : chunk.byte_offset + chunk.size]}
        )
    )
    rows: list[list[memoryview]] = [[] for _ in range(dataset.shape[0])]
    for place in sorted(chunks):
        rows[place[0]].append(chunks[place])
    return rows


def store_chunks(
    dataset: h5py.h5d.DatasetID, first: int, samples: Iterable[Iterable[bytes | memoryview]]
) -> None:
    """Store the encoded chunks of consecutive samples, in order of time, from row `first` on."""
    inside, write = (0,) * (dataset.rank - 2), dataset.write_direct_chunk
    steps = dataset.get_create_plist().get_chunk()[1]
    for row, chunks in enumerate(samples, first):
        for number, chunk in enumerate(chunks):
            write((row, number * steps, *inside), chunk)
