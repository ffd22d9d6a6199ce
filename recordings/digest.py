"""What identifies a raster: spike counts per step, a digest per sample, one digest over all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


def spike_counts(packed: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Number of set bits: (..., bytes) uint8 -> (...) uint32."""
    return _ONES[packed].sum(axis=-1, dtype=np.uint32)


def pad_bits_clear(packed: NDArray[np.uint8], neurons: int) -> bool:
    """Whether the bits behind the last neuron are zero in every step of (..., bytes) uint8."""
    return not (packed[..., -1] & ((1 << (-neurons % 8)) - 1)).any()


def sample_digest(packed: NDArray[np.uint8]) -> bytes:
    """SHA-256, in 64 hexadecimal digits, of one sample's (T, bytes) in C-order."""
    return hashlib.sha256(np.ascontiguousarray(packed).data).hexdigest().encode()


def raster_digest(digests: Iterable[NDArray[np.bytes_]]) -> str:
    """SHA-256 over the raw sample digests, layer by layer, then sample by sample; equal rasters have equal digests.

    Parameters
    ----------
    digests : for each layer in order, (N,) S64 of hexadecimal sample digests
    """
    total = hashlib.sha256()
    for layer in digests:
        total.update(bytes.fromhex(b"".join(layer.tolist()).decode("ascii")))
    return total.hexdigest()
