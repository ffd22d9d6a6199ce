"""Attention: products of the spikes of q, k and v, head by head, the tokens first.

    p[c, e] = Σ_m k[m, c] · v[m, e]         each spike of k adds the row of v at its token
    a[n, e] = Σ_c q[n, c] · p[c, e]         each spike of q adds the row of p of its channel

Spikes that are not there cost nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import internal
from spikesam.backends.event.kernels.events import WORD, trailing_zeros, word_of


@internal
def attend(
    query: NDArray[np.bool_],
    key: NDArray[np.bool_],
    value: NDArray[np.bool_],
    firsts: tuple[int, int, int],
    pairs: NDArray[Any],
    current: NDArray[Any],
) -> None:
    """Set the currents (H', W', C), of the rows that `query` has, to q · kᵀ · v.

    Parameters
    ----------
    query, key, value : (H, W, C or more) bool, of which `firsts` are the first channels that are
        read
    pairs : (d, d) — room for p of one head of d channels; every thread needs its own
    """
    depth, channels = len(pairs), current.shape[2]
    rows, wanted = pairs.reshape(-1), current.reshape(-1)
    queries, keys, values = query.reshape(-1), key.reshape(-1), value.reshape(-1)
    current[:] = 0
    for head in range(0, channels, depth):
        pairs[:] = 0
        for token in range(key.shape[0] * key.shape[1]):
            from_key = token * key.shape[2] + firsts[1] + head
            from_value = token * value.shape[2] + firsts[2] + head
            fired = values[from_value : from_value + depth]
            for first in range(0, depth, WORD):
                word = word_of(keys, from_key + first, min(WORD, depth - first))
                while word:
                    row = (first + np.int64(trailing_zeros(word))) * depth  # type: ignore[call-arg]
                    _add(fired, rows[row : row + depth])
                    word &= word - np.uint64(1)
        for token in range(query.shape[0] * query.shape[1]):
            from_query = token * query.shape[2] + firsts[0] + head
            target = token * channels + head
            sums = wanted[target : target + depth]
            for first in range(0, depth, WORD):
                word = word_of(queries, from_query + first, min(WORD, depth - first))
                while word:
                    row = (first + np.int64(trailing_zeros(word))) * depth  # type: ignore[call-arg]
                    _add(rows[row : row + depth], sums)
                    word &= word - np.uint64(1)


@internal
def _add(numbers: NDArray[Any], sums: NDArray[Any]) -> None:
    """Add the first to the others: in a function of its own, LLVM sees that no index is
    negative.
    """
    for i in range(len(sums)):
        sums[i] += numbers[i]
