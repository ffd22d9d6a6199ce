"""The operations behind the last units as a readout: a count, a linear layer, votes, a leaky integrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, Shape, Source
from spikesam.backends.network.inputs import WHOLE
from spikesam.pipeline.imports.road.fold import MOST_WEIGHTS, beginning, fold_one
from spikesam.pipeline.imports.road.kernels import unrolled, weights_of_windows
from spikesam.pipeline.imports.road.operations import ByStep, Integral, Path, TimeSum, expect

STEPS = "has other numbers at every step in front of the answer", "the same numbers"


@dataclass(frozen=True, eq=False)
class FoldedAnswer:
    """r[t] = leak · r[t-1] + weight s[t] + bias, at the last step."""

    sources: tuple[Source, ...]  # whose spikes s are, one behind the other
    weight: NDArray[np.float32]  # (K, N) float32
    bias: NDArray[np.float64]  # (K,) float64
    leak: float  # 1 of a sum


def fold_answer(path: Path, shapes: Mapping[str, Shape], steps: int) -> FoldedAnswer:
    """The sum of a path behind the last units, after so many steps."""
    folded, leak, over_steps, over = beginning(path, shapes), 1.0, 1, False
    for operation in path.operations:
        what, where = operation.what, operation.where
        if isinstance(what, TimeSum):
            found = "sums membranes over steps"
            expect(not over, where, found, "spikes or currents; or the last membrane as the answer")
            folded, over_steps, over = replace(folded, bias=folded.bias * steps), steps, True
        elif isinstance(what, Integral):
            expect(not over, where, "integrates an integral", "one readout")
            leak, over = what.leak, True
        else:
            expect(not isinstance(what, ByStep), where, *STEPS)
            folded = fold_one(folded, operation)
    of_steps = (folded.bias, *(one.gain for one in folded.inputs))
    expect(all(each.ndim < 2 for each in of_steps), path.last, *STEPS)
    folded = folded.dense
    read = {source.layer for one in folded.inputs for source in one.sources}
    numbers, neurons = prod(folded.shape), sum(prod(shapes[name]) for name in read)
    found = f"is {numbers:,} numbers of {neurons:,} neurons, each of which has a weight for each"
    expect(numbers * neurons <= MOST_WEIGHTS, path.last, found, "fewer, such as the mean of each channel over its map")
    weights: dict[Source, NDArray[np.float64]] = {}
    for one in folded.inputs:
        assert one.weight is not None
        expect(one.windows == NO_POOLING, path.last, "pools currents by maximum for the answer", "an average")
        expect(one.pooling != "max", path.last, "pools spikes by maximum for the answer", "an average")
        plain = one.spread == WHOLE and not one.heads
        expect(plain, path.last, "repeats or multiplies spikes for the answer", "neurons behind that")
        (channels, height, width), (y, x) = shapes[one.sources[0].layer], one.pool
        pooled = channels, height // y, width // x
        dense = one.weight if one.weight.ndim == 2 else unrolled(one.weight, pooled, one.stride, one.padding)
        averaged = weights_of_windows(dense, pooled, (y, x)) / (y * x if one.pooling == "average" else 1)
        gain = np.broadcast_to(one.gain, len(one.weight)).repeat(len(dense) // len(one.weight))
        weight = gain[:, None] * averaged
        for source in one.sources:
            key = replace(source, sign=1)
            weights[key] = weights.get(key, 0.0) + source.sign * weight
    each = {source: weights.pop(source).astype(np.float32) for source in tuple(weights)}
    whole = np.concatenate(list(each.values()), axis=1)
    bias = np.broadcast_to(folded.bias, folded.shape[0]).repeat(len(whole) // folded.shape[0])
    return FoldedAnswer(tuple(each), whole, bias / over_steps, leak)
