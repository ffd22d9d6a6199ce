"""NIR's pooling -> that of a layer: averages, sums as averages of larger weights, the OR of spikes by a Threshold."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from spikesam.backends.network import NO_POOLING, NetworkError, Shape, Windows
from spikesam.backends.network.inputs import Pooling
from spikesam.pipeline.imports.nir.attributes import by_channel, metadata, same_shape, sides, text, whole
from spikesam.pipeline.imports.nir.graph import Named
from spikesam.pipeline.imports.nir.neurons import Rules
from spikesam.pipeline.imports.nir.node_groups import NodeGroup


@dataclass(frozen=True)
class Pool:
    """Pooling in front of weights, which are multiplied by `factor`; `shape` is (C, H, W) behind it."""

    sides: tuple[int, int]
    pooling: Pooling
    factor: int
    shape: Shape


def read_pool(group: NodeGroup, shape: Shape, rules: Rules) -> Pool:
    """The pooling of a group's spikes, for a map of (C, H, W)."""
    if group.pool is None:
        return Pool((1, 1), "average", 1, shape)
    sides, pooled = _side_by_side(group.pool, shape)
    size = prod(sides)
    summed = group.pool.kind == "SumPool2d"
    if group.or_ is None:
        return Pool(sides, "average", size if summed else 1, pooled)
    threshold = by_channel(group.or_.node.threshold, pooled, "threshold", group.or_.where)
    one = 1 if summed else 1 / size  # what a single spike gives
    fires = np.greater_equal if rules.fires({}) else np.greater
    if fires(0, threshold).any() or not fires(one, threshold).all():
        raise NetworkError(
            f"{group.or_.where}: threshold is {threshold[0]:g}, expected one between 0 and {one:g}, which a single "
            "spike passes: behind pooling others are not supported"
        )
    return Pool(sides, "max", 1, pooled)


def read_currents_pool(group: NodeGroup, shape: Shape) -> tuple[Windows, Shape]:
    """The maximum pooling of currents, which only metadata can say, and (C, H, W) behind it."""
    if group.currents_pool is None:
        return NO_POOLING, shape
    pool = group.currents_pool
    if str(metadata(pool.node, pool.where, ("pooling",)).get("pooling")) != "max":
        raise NetworkError(
            f"{pool.where}: got {pool.kind} between weights and neurons, expected it behind the neurons: currents "
            "are not pooled here"
        )
    windows = _windows(pool)
    return windows, (shape[0], *windows.fit(shape[1:]))


def flattened(node: Named | None, shape: Shape) -> Shape:
    """(C·H·W, 1, 1) behind a node Flatten, the map's own shape where there is none."""
    if node is None:
        return shape
    flatten, where = node.node, node.where
    same_shape(flatten.input_type["input"], shape, "its input", where)
    inputs = int(np.prod(shape))
    start, end = (whole(getattr(flatten, axis), axis, where, -3) % 3 for axis in ("start_dim", "end_dim"))
    if int(np.prod(shape[start : end + 1])) != inputs:
        raise NetworkError(
            f"{where}: flattens axes {flatten.start_dim} … {flatten.end_dim} of {text(shape)}, expected all, 0 … -1"
        )
    return (inputs, 1, 1)


def _windows(pool: Named) -> Windows:
    node, where = pool.node, pool.where
    window, stride = sides(node.kernel_size, "kernel_size", where, 1), sides(node.stride, "stride", where, 1)
    return Windows(window, stride, sides(node.padding, "padding", where, 0))


def _side_by_side(pool: Named, shape: Shape) -> tuple[tuple[int, int], Shape]:
    """(y, x) of a pooling's window, and (C, H, W) behind it."""
    window, stride, padding = _windows(pool)
    (y, x), (channels, height, width) = window, shape
    if (stride, padding) != (window, (0, 0)) or height % y or width % x:
        raise NetworkError(
            f"{pool.where}: got windows of {window} with stride {stride} and padding {padding} on a map {text(shape)}, "
            "expected windows side by side that cover the map"
        )
    return window, (channels, height // y, width // x)
