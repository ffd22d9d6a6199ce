"""Pooling: of spikes in front of the weights, of currents behind them.

Averaging what a convolution gives is a larger convolution. Maximum pooling commutes with a positive gain, so the
weights of channels with a negative gain change their sign, and so does the gain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from spikesam.backends.network import NO_POOLING, Windows
from spikesam.pipeline.imports import kernels
from spikesam.pipeline.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.imports.folding.weights import convolved
from spikesam.pipeline.imports.following.stream import Relay
from spikesam.pipeline.imports.kernels import Pair
from spikesam.pipeline.imports.libraries.library import expect
from spikesam.pipeline.imports.windows import dilation, geometry, pair_of


def average(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`AvgPool2d` and `AvgPool1d`."""
    window, stride, padding = geometry(module)
    expect(padding == (0, 0), where, f"has padding={module.padding}", "none")
    divisor = getattr(module, "divisor_override", None)
    expect(divisor is None, where, f"has divisor_override={divisor}", "none")
    return _averaged(synapses, window, stride, module.ceil_mode, where)


def total(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`LPPool2d` with norm_type 1, such as sinabs' `SumPool2d`."""
    expect(module.norm_type == 1, where, f"has norm_type={module.norm_type}", "1: a sum")
    window = pair_of(module.kernel_size)
    averaged = _averaged(synapses, window, pair_of(module.stride or module.kernel_size), module.ceil_mode, where)
    return averaged.scaled(window[0] * window[1])


def adaptive(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`AdaptiveAvgPool2d` and `AdaptiveAvgPool1d`."""
    sides = synapses.shape[1:]
    wanted = pair_of(module.output_size, 1 if isinstance(module, nn.AdaptiveAvgPool1d) else None)
    outputs = [size or side for size, side in zip(wanted, sides, strict=True)]
    divides = not any(side % output for side, output in zip(sides, outputs, strict=True))
    expect(divides, where, f"makes {outputs} of a map of {list(sides)}", "an output that divides it")
    window = sides[0] // outputs[0], sides[1] // outputs[1]
    return _averaged(synapses, window, window, False, where)


def maximum(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`MaxPool2d` and `MaxPool1d`."""
    window, stride, padding = geometry(module)
    expect(dilation(module) == (1, 1), where, f"has dilation={dilation(module)}", "1")
    windows, (channels, *sides) = Windows(window, stride, padding), synapses.shape
    pooled = replace(synapses, shape=(channels, *windows.fit(sides)))
    if synapses.weight is None:
        expect(padding == (0, 0), where, f"has padding={module.padding}", "none")
        _apart(window, stride, where)
        _expect_whole(synapses, window, where)
        expect(synapses.pool == (1, 1) or synapses.pooling == "max", where, "pools averages", "one kind of pooling")
        expect((synapses.gain > 0).all(), where, "pools spikes scaled by a negative number", "spikes")
        return replace(pooled, pool=_times(synapses.pool, window), pooling="max")
    expect(synapses.weight.ndim == 4, where, "pools a dense layer", "a convolution in front of it")
    _expect_floor(windows, sides, module.ceil_mode, where)
    signs = np.where(np.atleast_2d(synapses.gain + np.zeros(channels)) < 0, -1, 1)
    sign = signs[0]
    expect((signs == sign).all(), where, "pools what is scaled by a negative number at some steps alone", "one sign")
    once = synapses.windows == NO_POOLING or (sign > 0).all()
    expect(once, where, "pools a maximum that was scaled by a negative number", "one pooling")
    weight = synapses.weight * sign[:, None, None, None].astype(np.float32)
    windows = _joined(synapses.windows, windows, where)
    return replace(pooled, windows=windows, weight=weight, gain=synapses.gain * sign)


def _joined(inner: Windows, outer: Windows, where: str) -> Windows:
    """The windows of a maximum of maxima."""
    if inner == NO_POOLING:
        return outer
    gaps = any(step > side for step, side in zip(inner.stride, inner.sides, strict=True))
    expect(not gaps and outer.padding == (0, 0), where, "pools a maximum again", "one pooling, or windows side by side")
    (down, right), (y, x) = inner.stride, inner.sides
    sides = y + (outer.sides[0] - 1) * down, x + (outer.sides[1] - 1) * right
    return Windows(sides, _times(inner.stride, outer.stride), inner.padding)


def relay(synapses: FoldedSynapses, relayed: Relay, where: str) -> FoldedSynapses:
    """A maximum pooling that is neurons of its own: the spikes of a window, summed."""
    module: Any = relayed.pooling
    window, stride, padding = geometry(module)
    kernel = kernels.undilated(np.ones((1, 1, *window), np.float32), dilation(module))
    _expect_floor(Windows(kernel.shape[2:], stride, padding), synapses.shape[1:], module.ceil_mode, where)
    weight = np.eye(synapses.shape[0], dtype=np.float32)[:, :, None, None] * kernel
    rows, columns = padding
    return convolved(synapses, weight, ((rows, rows), (columns, columns)), stride, None, where)


def _averaged(synapses: FoldedSynapses, window: Pair, stride: Pair, ceil_mode: bool, where: str) -> FoldedSynapses:
    """Average pooling, in front of the weights or behind them; that of single neurons is nothing."""
    channels, height, width = synapses.shape
    if window == stride == (1, 1):
        return synapses
    if synapses.weight is None:
        y, x = _apart(window, stride, where)
        _expect_whole(synapses, window, where)
        once = synapses.pool == (1, 1) or synapses.pooling == "average"
        expect(once, where, "averages what was pooled by maximum", "one kind of pooling")
        shape = channels, height // y, width // x
        return replace(synapses, pool=_times(synapses.pool, window), pooling="average", shape=shape)
    expect(synapses.weight.ndim == 4, where, "pools a dense layer", "a convolution in front of it")
    expect(synapses.windows == NO_POOLING, where, "averages currents pooled by maximum", "one kind of pooling")
    windows = Windows(window, stride)
    _expect_floor(windows, (height, width), ceil_mode, where)
    shape = channels, *windows.fit((height, width))
    weight = kernels.averaged(synapses.weight, synapses.stride, window)
    return replace(synapses, weight=weight, stride=_times(synapses.stride, stride), shape=shape)


def _expect_floor(windows: Windows, sides: Iterable[int], ceil_mode: bool, where: str) -> None:
    """As many windows as fit, and none that is cut off."""
    left = ((side + 2 * around - size) % step for side, size, step, around in zip(sides, *windows, strict=True))
    expect(not (ceil_mode and any(left)), where, "has ceil_mode=True", "False")


def _apart(window: Pair, stride: Pair, where: str) -> Pair:
    """The sides of windows that do not overlap."""
    expect(stride == window, where, f"has kernel_size={window}, stride={stride}", "a stride equal to kernel_size")
    return window


def _expect_whole(synapses: FoldedSynapses, window: Pair, where: str) -> None:
    """Windows that cover a map of spikes, and leave nothing over."""
    stayed = synapses.order is None or synapses.order.channels
    expect(stayed, where, "sees a map whose places are moved", "places that stay, of channels in any order")
    (height, width), (y, x) = synapses.shape[1:], window
    found, expected = f"pools {y}×{x} on a map of {height}×{width}", "sides that are multiples of it"
    expect(height % y == width % x == 0, where, found, expected)


def _times(one: Pair, other: Pair) -> Pair:
    return one[0] * other[0], one[1] * other[1]
