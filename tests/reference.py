"""What backends are checked against: the worked network of the reference data, and the equations in plain NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import LIF, FixedLIF, Input, Layer, Network, Readout, pair


def reference_network(shared: Path) -> tuple[Network, Any]:
    """The float network of `reference/neuron.npz`, and the file's arrays."""
    arrays = np.load(shared / "reference" / "neuron.npz")
    layers = []
    for number in range(1, 5):
        part = {name: arrays[f"layer{number}_float_{name}"] for name in ("w", "pool", "leak", "g", "b", "threshold")}
        neuron = LIF(float(part["leak"]), float(part["threshold"]), bias=part["b"])
        convolution = part["w"].ndim == 4
        name = f"conv{number}" if convolution else f"fc{number}"
        layers.append(
            Layer(name, Input(part["w"], gain=part["g"], pool=int(part["pool"]), padding=int(convolution)), neuron)
        )
    return Network((6, 12, 8), 16, tuple(layers), Readout(arrays["w_out"])), arrays


def simulate_reference(
    network: Network, inputs: NDArray[Any], forced: Mapping[str, NDArray[np.bool_]] | None = None
) -> tuple[list[NDArray[np.bool_]], NDArray[Any]]:
    """Run the equations as they are written, slowly: int64 in fixed point, float64 otherwise.

    Parameters
    ----------
    inputs : (T, B, C, H, W) bool spikes, or int8 numbers of a current, (B, C, H, W) of a constant one
    forced : layer -> (T, B, C, H, W), the spikes that it fires whatever its membranes

    Returns
    -------
    rasters : (T, B, C, H, W) bool of the input, unless its current is constant, and of each layer
    readout : (B, classes) int64 or float64
    """
    forced = forced or {}
    if network.encoder == "constant-current":
        inputs = np.broadcast_to(inputs, (network.timesteps, *inputs.shape))
    rasters = [inputs, *(np.zeros((*inputs.shape[:2], *shape), np.bool_) for shape in network.shapes[1:])]
    readout: NDArray[Any] = np.zeros(
        (inputs.shape[1], network.classes), np.int64 if network.precision == "fixed" else np.float64
    )
    for sample in range(inputs.shape[1]):
        fired = [raster[:, sample] for raster in rasters]
        membranes: list[Any] = [0] * len(network.layers)
        currents: list[Any] = [0] * len(network.layers)
        for t in range(network.timesteps):
            for number, layer in enumerate(network.layers):
                silent = np.zeros(network.shapes[number + 1], np.bool_)
                before = rasters[number + 1][t - 1, sample] if t else silent
                if t == 0:
                    membranes[number] = np.zeros(silent.shape, readout.dtype)
                    currents[number] = membranes[number]
                else:
                    read = [
                        layer_current(each, _arrived(network, each, fired, t)) for each in network.layers[number].inputs
                    ]
                    for place, each in network.driven:
                        if place == number and network.precision == "float32":
                            read[each] = read[each] * (network.input_range / 2) / 127
                    currents[number] = _driven(layer, currents[number], read, t)
                    membranes[number] = _membrane(layer, membranes[number], currents[number], before)
                spikes = _fires(layer.neuron, membranes[number])
                rasters[number + 1][t, sample] = forced[layer.name][t, sample] if layer.name in forced else spikes
            readout[sample] = _readout(network, readout[sample], rasters[-1][t, sample], t)
    return rasters[network.first_raster :], readout


def _arrived(network: Network, given: Input, rasters: list[NDArray[Any]], t: int) -> Any:
    """`x[t]` (C, H, W) of an input, from what all layers have fired before: (T, C, H, W) each."""
    arrived: Any = np.zeros(network.shapes[network.place(given.sources[0].layer)], np.int64)
    for source in given.sources:
        if t >= source.delay:
            arrived = arrived + source.sign * rasters[network.place(source.layer)][t - source.delay].astype(np.int64)
    return arrived


def layer_current(layer: Input, spikes: NDArray[Any]) -> NDArray[Any]:
    """`a[t]` (C, H, W) of spikes, their sums, or pixels: pooling, then correlation or matrix product.

    One output pixel at a time.
    """
    if layer.weight is None:
        return spikes
    fixed = layer.weight.dtype == np.int8
    k, m = pair(layer.pool)
    windows = [spikes[:, i::k, j::m].astype(np.int64) for i in range(k) for j in range(m)]
    weight = layer.weight.astype(np.int64 if fixed else np.float64)
    pooled = np.max(windows, axis=0) if layer.pooling == "max" else sum(windows) / (1 if fixed else k * m)
    pooled = pooled.astype(weight.dtype)
    if layer.kind == "dense":
        return (weight @ pooled.ravel())[:, None, None]
    (above, beside), (down, across) = map(pair, (layer.padding, layer.stride))
    padded = np.pad(pooled, ((0, 0), (above, above), (beside, beside)))
    height, width = (
        (side - kernel) // stride + 1
        for side, kernel, stride in zip(padded.shape[1:], weight.shape[2:], (down, across), strict=True)
    )
    current = np.zeros((len(weight), height, width), weight.dtype)
    for y in range(height):
        for x in range(width):
            top, left = y * down, x * across
            patch = padded[:, top : top + weight.shape[2], left : left + weight.shape[3]]
            current[:, y, x] = (weight * patch).sum(axis=(1, 2, 3))
    return _largest(layer, current)


def _largest(layer: Input, current: NDArray[Any]) -> NDArray[Any]:
    """The largest current of each window (C, H', W'); windows may overlap, and reach past the border."""
    pool = layer.current_pool
    (k, m), (above, beside) = pair(pool), pair(layer.current_padding)
    down, across = pair(pool if layer.current_stride is None else layer.current_stride)
    rows = (current.shape[1] + 2 * above - k) // down + 1
    columns = (current.shape[2] + 2 * beside - m) // across + 1
    found = np.zeros((len(current), rows, columns), current.dtype)
    for y in range(rows):
        for x in range(columns):
            top, left = y * down - above, x * across - beside
            found[:, y, x] = current[:, max(0, top) : top + k, max(0, left) : left + m].max(axis=(1, 2))
    return found


def _driven(layer: Layer, i: NDArray[Any], currents: list[NDArray[Any]], t: int) -> NDArray[Any]:
    """`i[t]` from `i[t-1]` and `a[t]` of each input."""
    neuron = layer.neuron
    bias = neuron.bias[(t - 1) % len(neuron.bias)][:, None, None]
    driven: Any = 0
    for each, a in zip(layer.inputs, currents, strict=True):
        gain = each.gain[(t - 1) % len(each.gain)][:, None, None]
        driven = driven + (
            round_to_zero(a * gain.astype(np.int64), each.shift) if isinstance(neuron, FixedLIF) else gain * a
        )
    driven = driven + bias
    if not isinstance(neuron, FixedLIF):
        return by_channel(neuron.synaptic_leak) * i + driven
    if len(layer.inputs) == 1 and np.all(neuron.synaptic_decay == 4096):
        return driven
    return saturated(round_to_zero(i * (4096 - by_channel(neuron.synaptic_decay)), 12) + driven)


def _membrane(layer: Layer, v: NDArray[Any], i: NDArray[Any], s: NDArray[np.bool_]) -> NDArray[Any]:
    """`v[t]` from `v[t-1]`, `i[t]`, `s[t-1]`."""
    neuron = layer.neuron
    subtracted: Any = 0
    if neuron.reset == "zero":
        v = v * (1 - s)
    elif neuron.reset_by is not None:
        subtracted = by_channel(neuron.reset_by)
    else:
        subtracted = by_channel(neuron.threshold)
    if isinstance(neuron, FixedLIF):
        v = saturated(round_to_zero(v * (4096 - by_channel(neuron.decay)), 12) + i - subtracted * s)
    else:
        v = by_channel(neuron.leak) * v + i - subtracted * s
    return v if neuron.min_v_mem is None else np.maximum(v, by_channel(neuron.min_v_mem))


def saturated(x: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(x, -(2**23 - 1), 2**23 - 1)


def _fires(neuron: Any, v: NDArray[Any]) -> NDArray[np.bool_]:
    threshold = by_channel(neuron.threshold)
    return v >= threshold if neuron.fires_at_threshold else v > threshold


def _readout(network: Network, r: NDArray[Any], spikes: NDArray[np.bool_], t: int) -> NDArray[Any]:
    """`r[t]` from `r[t-1]` and `s_L[t]`."""
    readout = network.readout
    driven = readout.weight.astype(r.dtype) @ spikes.ravel() + readout.bias[t % len(readout.bias)]
    if network.precision == "fixed":
        return round_to_zero(r * round(4096 * readout.leak), 12) + driven
    return readout.leak * r + driven


def by_channel(constant: Any) -> Any:
    """A number, or (C,) as (C, 1, 1)."""
    return np.asarray(constant)[..., None, None] if np.ndim(constant) else constant


def round_to_zero(x: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.sign(x) * (np.abs(x) >> n)
