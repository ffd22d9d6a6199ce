"""Attention: products of the spikes of q, k and v, head by head, the tokens first.

    p[c, e] = Σ_m k[m, c] · v[m, e]         how often two channels of a head fire at one token
    a[n, e] = Σ_c q[n, c] · p[c, e]         each spike of q adds a row

Tokens lie in bits, 64 in a word, so p is a count of the bits that two channels share. Where few spikes fire, each pair
of them is counted by itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import compiled, internal
from spikesam.backends.event.kernels.events import WORD, count_spikes, popcount, trailing_zeros, word_of
from spikesam.backends.network import Shape

ONE = np.uint64(1)
AT_ONCE = 12  # pairs of words whose shared bits take as long to count as one pair of spikes


class AttentionRoom(NamedTuple):
    """Memory that :func:`attend` works in: the tokens of k and v in bits, (2, words, C); p, (C, d), in two types."""

    bits: NDArray[np.uint64]
    pairs: NDArray[np.int32]
    rows: NDArray[Any]


def attention_room(shape: Shape, heads: int, dtype: Any) -> AttentionRoom:
    """Room for maps (3·C, H, W), the channels of q, k and v; every thread needs its own."""
    channels, tokens = shape[0] // 3, shape[1] * shape[2]
    bits, pairs = np.zeros((2, -(-tokens // WORD), channels), np.uint64), np.zeros((channels, channels // heads))
    return AttentionRoom(bits, pairs.astype(np.int32), pairs.astype(dtype))


@compiled
def attend(
    query: NDArray[np.bool_],
    key: NDArray[np.bool_],
    value: NDArray[np.bool_],
    firsts: tuple[int, int, int],
    room: AttentionRoom,
    current: NDArray[Any],
) -> None:
    """Set the currents (H', W, C), of the rows that `query` has, to q · kᵀ · v.

    Parameters
    ----------
    query, key, value : (H, W, C or more) bool, of which `firsts` are the first channels that are read
    """
    (channels, depth), pairs = room.pairs.shape, room.pairs
    tokens = key.shape[0] * key.shape[1]
    pairs[:] = 0
    fires = count_spikes(key) / (key.shape[2] // channels) * count_spikes(value) / (value.shape[2] // channels)
    if AT_ONCE * fires * depth / (tokens * channels) <= room.bits.shape[1] * channels * depth:
        _count_spikes_together(
            key.reshape(-1), value.reshape(-1), (key.shape[2], value.shape[2]), firsts, tokens, pairs
        )
    else:
        bits = room.bits
        bits[:] = 0
        _pack_tokens(key.reshape(-1), key.shape[2], firsts[1], tokens, bits[0])
        _pack_tokens(value.reshape(-1), value.shape[2], firsts[2], tokens, bits[1])
        _count_bits_together(bits, pairs)
    current[:] = 0
    for number in range(channels):
        for output in range(depth):
            room.rows[number, output] = pairs[number, output]
    sums, flat = current.reshape(-1, channels), query.reshape(-1)
    for token in range(len(sums)):
        row = token * query.shape[2] + firsts[0]
        for first in range(0, channels, WORD):
            word = word_of(flat, row + first, min(WORD, channels - first))
            while word:
                channel: Any = first + np.int64(trailing_zeros(word))  # type: ignore[call-arg]
                word &= word - ONE
                head = channel // depth * depth
                add_row(room.rows[channel], sums[token, head : head + depth])


@internal
def add_row(row: NDArray[Any], sums: NDArray[Any]) -> None:
    """Add one to the other: in a function of its own, LLVM sees that no index is negative."""
    for output in range(len(sums)):
        sums[output] += row[output]


@internal
def _count_spikes_together(
    key: NDArray[np.bool_],
    value: NDArray[np.bool_],
    sizes: tuple[int, int],
    firsts: tuple[int, int, int],
    tokens: int,
    pairs: NDArray[np.int32],
) -> None:
    """Add 1 to p for every two spikes of a head at a token."""
    channels, depth = pairs.shape
    for token in range(tokens):
        row = token * sizes[1] + firsts[2]
        for first in range(0, channels, WORD):
            word = word_of(key, token * sizes[0] + firsts[1] + first, min(WORD, channels - first))
            while word:
                channel: Any = first + np.int64(trailing_zeros(word))  # type: ignore[call-arg]
                word &= word - ONE
                head = channel // depth * depth
                for beginning in range(0, depth, WORD):
                    others = word_of(value, row + head + beginning, min(WORD, depth - beginning))
                    while others:
                        pairs[channel, beginning + np.int64(trailing_zeros(others))] += 1
                        others &= others - ONE


@internal
def _pack_tokens(spikes: NDArray[np.bool_], size: int, first: int, tokens: int, bits: NDArray[np.uint64]) -> None:
    """Set bit m of a channel's words where it fires at token m."""
    channels = bits.shape[1]
    for token in range(tokens):
        row, shift, words = token * size + first, np.uint64(token % WORD), bits[token // WORD]
        fired = spikes[row : row + channels]
        for channel in range(channels):
            words[channel] |= np.uint64(fired[channel]) << shift


@internal
def _count_bits_together(bits: NDArray[np.uint64], pairs: NDArray[np.int32]) -> None:
    """Set p to the bits that channels of a head share."""
    channels, depth = pairs.shape
    for channel in range(channels):
        head = channel // depth * depth
        for word in range(bits.shape[1]):
            mine = bits[0, word, channel]
            if mine:
                for output in range(depth):
                    shared: Any = popcount(mine & bits[1, word, head + output])  # type: ignore[call-arg]
                    pairs[channel, output] += np.int32(shared)
