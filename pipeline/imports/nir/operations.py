"""The reader of NIR: what each node, or its metadata, does to what comes to it, as operations of the road."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError, Windows
from spikesam.backends.network.inputs import LONGEST_DELAY
from spikesam.pipeline.imports.nir.attributes import metadata, numbers, shape_of, sides, whole_attribute
from spikesam.pipeline.imports.nir.graph import POOLS, SPIKING, Named
from spikesam.pipeline.imports.nir.neurons import Rules, near_one, read_integral
from spikesam.pipeline.imports.road.fold import lag_of
from spikesam.pipeline.imports.road.kernels import extent
from spikesam.pipeline.imports.road.operations import (
    Conv,
    DeclaredShape,
    Flatten,
    Linear,
    Operation,
    Path,
    Pool,
    Scale,
    expect,
)

SYNAPSES = ("Affine", "Linear", "Conv1d", "Conv2d")
LEAKY = ("I", "LI", "CubaLI")
SUPPORTED = ", ".join(("Input", "Output", "Delay", "Flatten", "Scale", *POOLS, *SYNAPSES, *SPIKING, *LEAKY))


def path_behind(path: Path, node: Named, rules: Rules, last: bool) -> Path:
    """The path of what comes to a node, and of what the node does to it; the last one is followed by neurons."""
    if node.kind == "Delay":
        return _later(path, node, rules.dt)
    if node.kind == "Threshold":
        return _either(path, node, rules)
    if node.kind == "Scale" and not last:
        scale = numbers(node.node.scale, "scale", node.where)
        if isinstance(path.source, str) and not path.operations and (abs(scale) == 1).all() and np.ptp(scale) == 0:
            return replace(path, sign=path.sign * int(scale.flat[0]))
    emit = EMITS.get(node.kind)
    if emit is None and node.kind not in LEAKY:
        raise NetworkError(f"{node.where}: type {node.kind} is not supported: expected one of {SUPPORTED}")
    found = read_integral(node, rules) if emit is None else emit(node.node, node.where)
    return replace(path, operations=(*path.operations, *(Operation(node.where, each) for each in found)))


def _weights(node: Any, where: str, axes: int, expected: str) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Weights with so many axes, and the bias of each output, if the node has one."""
    weight = numbers(node.weight, "weight", where)
    expect(weight.ndim == axes, where, f"weight has shape {weight.shape}", expected)
    if getattr(node, "bias", None) is None:
        return weight, None
    bias, outputs = numbers(node.bias, "bias", where), weight.shape[:1]
    expect(bias.shape == outputs, where, f"bias has shape {bias.shape}", f"{outputs}, one per output of weight")
    return weight, bias


def _linear(node: Any, where: str) -> list[Any]:
    return [Linear(*_weights(node, where, 2, "(outputs, inputs)"), flat=True)]


def _conv(node: Any, where: str) -> list[Any]:
    return _convolution(node, where, *_weights(node, where, 4, "(outputs, channels / groups, y, x)"), sides)


def _conv1d(node: Any, where: str) -> list[Any]:
    """A convolution of rows, which are maps of height 1."""
    weight, bias = _weights(node, where, 3, "(outputs, channels / groups, x)")

    def along(value: Any, what: str, where: str, least: int) -> tuple[int, int]:
        return least, whole_attribute(value, what, where, least)

    return _convolution(node, where, weight[:, :, None], bias, along)


def _convolution(node: Any, where: str, weight: Any, bias: Any, sides: Callable[..., tuple[int, int]]) -> list[Any]:
    """A convolution whose settings are those of `sides`, (y, x)."""
    groups = whole_attribute(node.groups, "groups", where, 1)
    stride, dilation = (sides(getattr(node, name), name, where, 1) for name in ("stride", "dilation"))
    kernel = extent(weight.shape[2:], dilation)
    if not isinstance(node.padding, str):
        rows, columns = sides(node.padding, "padding", where, 0)
    elif node.padding == "valid":
        rows, columns = 0, 0
    else:
        found = f"padding is {node.padding!r} with stride {stride} and a kernel of {kernel}"
        expected = "a number, 'valid', or 'same' with stride 1 and a kernel of odd sides"
        odd = node.padding == "same" and stride == (1, 1) and kernel[0] % 2 and kernel[1] % 2
        expect(odd, where, found, expected)
        rows, columns = kernel[0] // 2, kernel[1] // 2
    conv = Conv(weight, bias, stride, ((rows, rows), (columns, columns)), dilation, groups)
    if node.input_shape is None:
        return [conv]
    sides_seen = np.ravel(node.input_shape).tolist()
    return [DeclaredShape(shape_of((weight.shape[1] * groups, *sides_seen), where), "its input"), conv]


def _flatten(node: Any, where: str) -> list[Any]:
    declared = node.input_type["input"]
    rows = declared is not None and np.size(declared) == 2  # whose sides are the last two of three here
    axes = 2 if rows else 3
    first, last = (whole_attribute(getattr(node, axis), axis, where, -axes) % axes for axis in ("start_dim", "end_dim"))
    last += rows
    known = [] if declared is None else [DeclaredShape(shape_of(declared, where), "its input")]
    return [*known, Flatten(first, last)]


def _pool(node: Any, where: str) -> list[Any]:
    stride, window = (sides(getattr(node, name), name, where, 1) for name in ("stride", "kernel_size"))
    said = metadata(node, where, ("pooling",)).get("pooling")
    kind: Any = "max" if str(said) == "max" else "average" if type(node).__name__ == "AvgPool2d" else "sum"
    return [Pool(kind, Windows(window, stride, sides(node.padding, "padding", where, 0)))]


def _scale(node: Any, where: str) -> list[Any]:
    scale = numbers(node.scale, "scale", where)
    known = [DeclaredShape(shape_of(scale.shape, where), "scale")] if scale.size > 1 else []
    return [*known, Scale(near_one(scale.ravel()))]


def _either(path: Path, node: Named, rules: Rules) -> Path:
    """The OR of pooled spikes: their maximum."""
    *before, pooled = path.operations
    pool, threshold = pooled.what, numbers(node.node.threshold, "threshold", node.where)
    one = 1 if pool.kind == "sum" else 1 / prod(pool.windows.sides)  # what a single spike gives
    fires = np.greater_equal if rules.fires({}) else np.greater
    passed = fires(one, threshold).all() and not fires(0, threshold).any()
    expected = f"one between 0 and {one:g}, which a single spike passes: behind pooling others are not supported"
    expect(passed, node.where, f"threshold is {threshold.flat[0]:g}", expected)
    return replace(path, operations=(*before, replace(pooled, what=replace(pool, kind="max"))))


def _later(path: Path, node: Named, dt: float) -> Path:
    """The path behind a node Delay, whose steps may differ from channel to channel of spikes as they are."""
    seconds = numbers(node.node.delay, "delay", node.where)
    limited = np.clip(seconds, -dt, (LONGEST_DELAY + 1) * dt)
    steps = np.round(limited / dt).astype(np.int64)
    whole = np.allclose(limited, steps * dt, 1e-6, 0) and steps.min() >= 0 and steps.max() <= LONGEST_DELAY
    expected = f"whole numbers of steps of {dt:g} s, 0 … {LONGEST_DELAY:,}"
    expect(whole, node.where, f"delay is {seconds.min():g} … {seconds.max():g} s", expected)
    if np.ptp(steps) == 0:
        return path.later(int(steps.flat[0]))
    lag = lag_of(steps, shape_of(steps.shape, node.where), node.where)
    plain = isinstance(path.source, str) and not path.operations and np.size(path.lag or 0) in (1, np.size(lag))
    expected = "spikes as they are in front of it, where channels have a delay each"
    expect(plain, node.where, f"stands behind {path.last}", expected)
    return path.late(lag)


EMITS: dict[str, Callable[[Any, str], list[Any]]] = {
    "Affine": _linear,
    "AvgPool2d": _pool,
    "Conv1d": _conv1d,
    "Conv2d": _conv,
    "Flatten": _flatten,
    "Linear": _linear,
    "Scale": _scale,
    "SumPool2d": _pool,
}
