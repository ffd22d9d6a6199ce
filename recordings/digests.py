"""Identities of content: spike counts per step, digests of samples and files, and seals of
files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

About = dict[
    str, dict[str, Any]
]  # path -> name -> value, of everything in a file that has attributes

NOT_CONTENT = {"complete", "content_digest"}  # attributes that are written last
ROWS = 4096  # of a table of digests that are taken at a time


def spike_counts(packed: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Number of set bits: (..., bytes) uint8 -> (...) uint32.

    NumPy 2 counts the bits of a word by one instruction. Before it, bits are added up side by side
    in words of 64: in pairs, in fours, in bytes; a product adds the bytes of a word (Warren,
    Hacker's Delight, 2nd ed., section 5-1).
    """
    counted = hasattr(np, "bitwise_count")
    if counted and packed.shape[-1] % 8 == 0 and packed.flags.c_contiguous:
        return np.bitwise_count(packed.view(np.uint64)).sum(axis=-1, dtype=np.uint32)
    words = np.zeros((*packed.shape[:-1], -(-packed.shape[-1] // 8)), np.uint64)
    words.view(np.uint8)[..., : packed.shape[-1]] = packed
    if counted:
        return np.bitwise_count(words).sum(axis=-1, dtype=np.uint32)
    upper = np.empty_like(words)  # reused, because fresh memory costs more than the sums
    for shift, mask in np.array(
        [(1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)], np.uint64
    ):
        np.right_shift(words, shift, out=upper)
        upper &= mask
        words &= mask
        words += upper
    words *= 0x0101010101010101
    words >>= 56
    return words.sum(axis=-1, dtype=np.uint32)


def pad_bits_clear(packed: NDArray[np.uint8], neurons: int) -> bool:
    """True if the bits behind the last neuron are zero in every step of (..., bytes) uint8."""
    return not (packed[..., -1] & ((1 << (-neurons % 8)) - 1)).any()


def sample_digest(sample: NDArray[Any]) -> bytes:
    """SHA-256, in 64 hexadecimal digits, of one sample's packed spikes or maps, as they are stored,
    in C-order.
    """
    return hashlib.sha256(np.ascontiguousarray(sample).data).hexdigest().encode()


def raster_digest(digests: Iterable[NDArray[np.bytes_]]) -> str:
    """SHA-256 over raw sample digests, which are given as (N,) S64 for each layer; equal rasters
    have equal digests.
    """
    total = hashlib.sha256()
    for layer in digests:
        for first in range(0, len(layer), ROWS):
            total.update(bytes.fromhex(layer[first : first + ROWS].tobytes().decode("ascii")))
    return total.hexdigest()


def content_digest(
    attributes: Mapping[str, Mapping[str, Any]], tables: Iterable[NDArray[Any]]
) -> str:
    """SHA-256 over what a file says beside spikes or maps: its attributes, path -> name -> value,
    then its tables.
    """
    covered = {
        path: {name: _plain(value) for name, value in named.items() if name not in NOT_CONTENT}
        for path, named in attributes.items()
    }
    total = hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode())
    for table in tables:
        total.update(np.ascontiguousarray(table).data.cast("B") if table.size else b"")
    return total.hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON takes it, without rounding a float."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return value.hex() if isinstance(value, float) else value


class Seal(NamedTuple):
    """Size of a file in bytes, and its SHA-256 in hexadecimal digits: it holds what was written if
    they still fit.
    """

    size: int
    sha256: str


def seal(content: bytes | memoryview) -> Seal:
    """The seal of a file with this content."""
    return Seal(len(content), hashlib.sha256(content).hexdigest())
