"""When each layer stands: the steps by which it is later where every layer costs one, and the bias that it then has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network, NetworkError, Source
from spikesam.pipeline.imports.road.operations import INPUT

MOST_BIASES = 1 << 28  # of one layer, over all steps
SILENCE = 1 << 17  # thresholds that such a bias is below zero: 2²⁹ in fixed point


def depths(reads: Mapping[str, Iterable[Source]], where: Mapping[str, str]) -> dict[str, int]:
    """The depth D of each unit, 1 + the largest of those that it reads within a step; 0 of the input."""
    edges = [(name, source) for name, sources in reads.items() for source in sources]
    depth = {INPUT: 0} | dict.fromkeys(reads, 1)
    via: dict[str, str] = {}
    late = ""
    for _ in range(len(depth) + 1):
        late = ""
        for name, source in edges:
            if depth[source.layer] + 1 - source.shortest > depth[name]:
                depth[name], via[name], late = depth[source.layer] + 1 - source.shortest, source.layer, name
        if not late:
            return depth
    for _ in depth:
        late = via[late]  # after so many steps back it is on the loop
    loop = [late]
    while via[loop[0]] != late:
        loop.insert(0, via[loop[0]])
    count = len(loop)
    ways = " → ".join(where[name] for name in (late, *loop))
    raise NetworkError(
        f"{ways}: form a loop of {count} layers, whose spikes are back sooner than {count} steps later: feedback past "
        "a layer within a step, where every layer takes one; expected feedback of a layer to itself, or delays of "
        f"{count} steps in all"
    )


def delayed(
    bias: NDArray[np.float64], silent: int, timesteps: int, window: int | None = None, threshold: Any = 0.0
) -> NDArray[np.float64]:
    """A bias that acts in a window alone: (C,) or rows (S, C) -> rows (T, C), or (1, C) where all are the same."""
    rows = np.atleast_2d(bias)
    channels, stop = rows.shape[1], timesteps if window is None else silent + window
    if len(rows) == 1 and stop >= timesteps - 1 and not (bias.any() and silent):
        return rows
    if timesteps * channels > MOST_BIASES:
        raise NetworkError(
            f"biases: {timesteps:,} steps of {channels:,} channels, expected at most {MOST_BIASES:,} numbers"
        )
    found = np.where(np.arange(timesteps)[:, None] < silent, 0.0, rows_later(rows, silent, timesteps))
    found[stop:-1] = -SILENCE * np.asarray(threshold)  # the last row acts at no step, and stays the bias
    return found


def with_window(network: Network, window: int | None, depths: Sequence[int]) -> Network:
    """The network with its window, if each layer stands as far from the readout as its depth says; else without."""
    last, ways = depths[-1], network.to_readout
    stands = [last - ways[name] for name in network.names]
    return replace(network, window=window) if stands == [0, *depths] else network


def rows_later(rows: NDArray[np.float64], steps: int, timesteps: int) -> NDArray[np.float64]:
    """Rows (S, C) so many steps later, (T, C): the first and the last one go on; one row stays one."""
    return rows if len(rows) == 1 else rows[np.clip(np.arange(timesteps) - steps, 0, len(rows) - 1)]
