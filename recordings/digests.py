"""What identifies a raster: spike counts per step, a digest per sample, one digest over all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def spike_counts(packed: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Number of set bits: (..., bytes) uint8 -> (...) uint32.

    Bits are added up side by side in words of 64: in pairs, in fours, in bytes; a product adds the bytes of a word.

    References
    ----------
    Warren, Hacker's Delight, 2nd ed., section 5-1
    """
    words = np.zeros((*packed.shape[:-1], -(-packed.shape[-1] // 8)), np.uint64)
    words.view(np.uint8)[..., : packed.shape[-1]] = packed
    upper = np.empty_like(words)  # reused, because fresh memory costs more than the sums
    for shift, mask in np.array([(1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)], np.uint64):
        np.right_shift(words, shift, out=upper)
        upper &= mask
        words &= mask
        words += upper
    words *= 0x0101010101010101
    words >>= 56
    return words.sum(axis=-1, dtype=np.uint32)


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
