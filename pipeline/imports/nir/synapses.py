"""NIR's weights and pooling -> those of a layer: groups and dilation become zeros in a larger kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError, Shape
from spikesam.pipeline.imports.kernels import undilated, ungrouped
from spikesam.pipeline.imports.nir.attributes import by_channel, numbers, same_shape, sides, text, whole
from spikesam.pipeline.imports.nir.node_groups import NodeGroup

MOST_WEIGHTS = 1 << 28  # of one layer, once groups and dilation are filled with zeros


@dataclass(frozen=True)
class Synapse:
    """y = scale · (W ⊛ x + bias), in double precision.

    Parameters
    ----------
    weight : (O, I, y, x) or (O, I)
    bias, scale : (O,)
    shape : (O, H, W) of y
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    scale: NDArray[np.float64]
    shape: Shape
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


def read_synapse(nodes: NodeGroup, shape: Shape) -> Synapse:
    """The weights of a group, and a Scale behind them, for a map of (C, H, W) that is pooled and flattened already."""
    assert nodes.synapse is not None
    node, where = nodes.synapse.node, nodes.synapse.where
    weight = numbers(node.weight, "weight", where)
    stride, padding, outputs = (1, 1), (0, 0), (len(weight), 1, 1)
    if nodes.synapse.kind == "Conv2d":
        weight, stride, padding = _convolution(node, weight, shape, where)
        rows, columns = (
            (size + 2 * around - length) // step + 1
            for size, length, around, step in zip(shape[1:], weight.shape[2:], padding, stride, strict=True)
        )
        outputs = (len(weight), rows, columns)
    elif weight.ndim != 2 or (*weight.shape[1:], 1, 1) != shape:
        hint = "; put a Flatten in front" if shape[1:] != (1, 1) else ""
        raise NetworkError(
            f"{where}: weight has shape {weight.shape}, expected (outputs, inputs) of the map {text(shape)} before it"
            f"{hint}"
        )
    bias = getattr(node, "bias", None)
    bias = np.zeros(outputs[0]) if bias is None else numbers(bias, "bias", where)
    if bias.shape != outputs[:1]:
        raise NetworkError(f"{where}: bias has shape {bias.shape}, expected ({outputs[0]},), one per output of weight")
    scale = np.ones(outputs[0])
    if nodes.scale is not None:
        scale = by_channel(nodes.scale.node.scale, outputs, "scale", nodes.scale.where)
    return Synapse(weight, bias, scale, outputs, stride, padding)


def _convolution(
    node: Any, weight: NDArray[np.float64], shape: Shape, where: str
) -> tuple[NDArray[np.float64], tuple[int, int], tuple[int, int]]:
    """Weights without groups and dilation, stride and padding."""
    groups, dilation = whole(node.groups, "groups", where, 1), sides(node.dilation, "dilation", where, 1)
    stride = sides(node.stride, "stride", where, 1)
    if weight.ndim != 4 or 0 in weight.shape or weight.shape[1] * groups != shape[0] or len(weight) % groups:
        raise NetworkError(
            f"{where}: weight has shape {weight.shape} in {groups} groups, expected (outputs, {shape[0]} / groups, y, "
            f"x) of the map {text(shape)} before it"
        )
    if node.input_shape is not None:
        same_shape((shape[0], *np.asarray(node.input_shape).ravel().tolist()), shape, "its input", where)
    extent = tuple((length - 1) * spacing + 1 for length, spacing in zip(weight.shape[2:], dilation, strict=True))
    padding = _padding(node.padding, extent, stride, where)
    if any(length > size + 2 * around for length, size, around in zip(extent, shape[1:], padding, strict=True)):
        raise NetworkError(f"{where}: a kernel of {extent} does not fit its input {text(shape)} with padding {padding}")
    if len(weight) * shape[0] * extent[0] * extent[1] > MOST_WEIGHTS:
        raise NetworkError(f"{where}: more than {MOST_WEIGHTS:,} weights without groups and dilation, expected fewer")
    return undilated(ungrouped(weight, groups), dilation), stride, padding


def _padding(padding: Any, extent: tuple[int, ...], stride: tuple[int, int], where: str) -> tuple[int, int]:
    if not isinstance(padding, str):
        return sides(padding, "padding", where, 0)
    if padding == "valid":
        return 0, 0
    if padding != "same" or stride != (1, 1) or not extent[0] % 2 or not extent[1] % 2:
        raise NetworkError(
            f"{where}: padding is {padding!r} with stride {stride} and a kernel of {extent}, expected a number, "
            "'valid', or 'same' with stride 1 and a kernel of odd sides"
        )
    return extent[0] // 2, extent[1] // 2
