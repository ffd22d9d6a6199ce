"""Layers and readout -> NIR nodes by name and in order, with what NIR cannot say in their metadata."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import LIF, NO_POOLING, Input, Layer, Readout, Shape, Windows, pair
from spikesam.pipeline.imports.nir import KEY, nir_library
from spikesam.pipeline.imports.nir.attributes import divided
from spikesam.pipeline.imports.road.delays import delayed

Size = tuple[int, ...]  # a map as NIR has it: (C, H, W) or (N,)

SMALLEST = 2.0**-60  # of 1 - leak: a membrane that loses no more does not leak in double precision
ANY_SPIKE = 0.5  # a sum of spikes is above it if there is one, whether v > θ or v ≥ θ fires


def layer_nodes(
    layer: Layer, sizes: Sequence[Size], level: int, steps: tuple[int, int | None], dt: float
) -> list[dict[str, Any]]:
    """Nodes of a layer that fires `level` steps later than in NIR: those of each input, of `sizes`, then neurons."""
    name, neuron = layer.name, layer.neuron
    assert isinstance(neuron, LIF)
    bias = neuron.bias[-1]
    first, said = _input_nodes(name, layer.inputs[0], sizes[0], bias)
    if not np.array_equal(neuron.bias, delayed(bias, level - 1, *steps, neuron.threshold)):
        said["bias"] = neuron.bias
    shape = layer.inputs[0].output_shape(_map(sizes[0]))
    nodes = [first]
    for number, (each, size) in enumerate(zip(layer.inputs[1:], sizes[1:], strict=True), 2):
        further, about = _input_nodes(f"{name}.{number}", each, size)
        if about:  # in the metadata of its weights, or of its Scale
            further[f"{name}.{number}"].metadata = _metadata(about)
        nodes.append(further)
    return [*nodes, {f"{name}.neuron": _neurons(neuron, nir_size(layer, shape), dt, said)}]


def _input_nodes(
    name: str, given: Input, size: Size, bias: NDArray[np.float64] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Nodes of an input for a map of a size, and what they cannot say of it."""
    nir, dense = nir_library(), given.kind == "dense"
    shape = _map(size)
    if given.weight is None:
        several = len(given.gain) > 1
        scale = _everywhere(1.0 if several else given.gain[0], size)
        return {name: nir.Scale(scale)}, {"gain": given.gain} if several else {}
    nodes: dict[str, Any] = {}
    if given.pool != 1 or given.pooling == "max":
        y, x = pool = pair(given.pool)
        nodes[f"{name}.pool"] = _pool(
            "AvgPool2d" if given.pooling == "average" else "SumPool2d", Windows(pool, pool), shape
        )
        shape = (shape[0], shape[1] // y, shape[2] // x)
        if given.pooling == "max":
            nodes[f"{name}.or"] = nir.Threshold(np.full(shape, ANY_SPIKE))
    if dense and len(size) == 3:
        nodes[f"{name}.flatten"] = _flatten(shape)
    weight, said = _weights(given.weight, given.gain)
    if dense:
        nodes[name] = nir.Linear(weight) if bias is None else nir.Affine(weight, _narrow(bias))
    else:
        stride, padding, dilation = map(pair, (given.stride, given.padding, 1))
        biases = np.zeros(len(weight)) if bias is None else bias
        nodes[name] = nir.Conv2d(shape[1:], weight, stride, padding, dilation, 1, _narrow(biases))
    if given.windows != NO_POOLING:
        unpooled = given.unpooled_shape(_map(size))
        nodes[f"{name}.currents"] = _pool("AvgPool2d", given.windows, unpooled, {"pooling": "max"})
    return nodes, said


def source_nodes(name: str, size: Size, steps: NDArray[Any], sign: int | None, dt: float) -> dict[str, Any]:
    """Nodes between a source, which is a map of a size, and an input: a Delay of (C,) or () steps, a Scale by ±1."""
    nir = nir_library()
    nodes = {f"{name}.delay": nir.Delay(_everywhere(steps * dt, size))} if steps.any() else {}
    return nodes if sign is None else nodes | {f"{name}.sign": nir.Scale(_everywhere(sign, size))}


def readout_nodes(readout: Readout, size: Size, name: str, number: int, timesteps: int, dt: float) -> dict[str, Any]:
    """Nodes of a readout behind `number` layers; none if it is the number of spikes of each neuron."""
    nir, classes = nir_library(), len(readout.weight)
    said: dict[str, Any] = {} if readout.scale == 1 else {"scale": readout.scale}
    bias = readout.bias[-1]
    if not np.array_equal(readout.bias, delayed(bias, number, timesteps)):
        said["bias"] = readout.bias
    counted = _map(size) == (classes, 1, 1) and np.array_equal(readout.weight, np.eye(classes))
    if counted and readout.leak == 1 and not said and not bias.any():
        return {}
    nodes = {f"{name}.flatten": _flatten(_map(size))} if len(size) == 3 else {}
    if readout.leak == 1:
        return nodes | {name: nir.Affine(readout.weight.copy(), _narrow(bias), metadata=_metadata(said))}
    r = np.full(classes, 1 / max(1 - readout.leak, SMALLEST))
    leaky = nir.LI(dt * r, r, np.zeros(classes), metadata=_metadata({**said, "leak": readout.leak}))
    return nodes | {name: nir.Affine(readout.weight.copy(), _narrow(bias)), f"{name}.neuron": leaky}


def nir_size(layer: Layer, shape: Shape) -> Size:
    """A map that a layer takes or gives as NIR has it: (C,) of a dense one."""
    return shape[:1] if layer.kind == "dense" and shape[1:] == (1, 1) else shape


def _map(size: Size) -> Shape:
    return (*size, 1, 1)[:3]  # type: ignore[return-value]


def _flatten(shape: Shape) -> Any:
    """Axes counted from the end: from the beginning, programs disagree whether that of the samples counts."""
    return nir_library().Flatten(np.array(shape), -3, -1)


def _neurons(neuron: LIF, size: Size, dt: float, said: dict[str, Any]) -> Any:
    """A node CubaLIF where currents outlast a step, IF where nothing leaks, else LIF; for equations see neurons.py."""
    nir = nir_library()
    everywhere = partial(_everywhere, size=size)
    said |= {"reset": neuron.reset, "fires_at_threshold": neuron.fires_at_threshold, "leak": neuron.leak}
    said |= {name: value for name in ("reset_by", "min_v_mem") if (value := getattr(neuron, name)) is not None}
    threshold, zeros = everywhere(neuron.threshold), everywhere(0)
    steps, synaptic_steps = (
        everywhere(1 / np.maximum(1 - np.asarray(leak), SMALLEST)) for leak in (neuron.leak, neuron.synaptic_leak)
    )
    if np.any(neuron.synaptic_leak):
        said["synaptic_leak"] = neuron.synaptic_leak
        constants = dt * synaptic_steps, dt * steps, steps, zeros, threshold, zeros.copy(), synaptic_steps
        return nir.CubaLIF(*constants, metadata=_metadata(said))
    if np.all(np.asarray(neuron.leak) == 1):
        return nir.IF(everywhere(1 / dt), threshold, zeros, metadata=_metadata(said))
    return nir.LIF(dt * steps, steps, zeros, threshold, zeros.copy(), metadata=_metadata(said))


def _everywhere(value: Any, size: Size) -> NDArray[np.float64]:
    """One number, or one per channel, at every place of a map."""
    by_channel = np.broadcast_to(np.asarray(value, np.float64), size[:1])
    return np.broadcast_to(by_channel.reshape(-1, *(1,) * (len(size) - 1)), size).copy()


def _weights(weight: NDArray[np.float32], gain: NDArray[np.float64]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Weights that contain a gain by channel, in double precision, and the gain for the metadata, where it is not 1."""
    if len(gain) > 1:
        return weight.copy(), {"gain": gain}
    if (gain == 1).all():
        return weight.copy(), {}
    product = weight * gain.reshape(-1, *(1,) * (weight.ndim - 1))
    said = {"gain": gain[0]}
    return product, said if np.array_equal(divided(product, gain[0]), weight) else {**said, "weight": weight}


def _pool(kind: str, windows: Windows, shape: Shape, said: dict[str, Any] | None = None) -> Any:
    """A pooling node; NIR gives it no shape by itself."""
    node = getattr(nir_library(), kind)(*map(np.array, windows), metadata=_metadata(said or {}))
    node.input_type = {"input": np.array(shape)}
    node.output_type = {"output": np.array((shape[0], *windows.fit(shape[1:])))}
    return node


def _metadata(said: dict[str, Any]) -> dict[str, Any]:
    return {KEY: said} if said else {}


def _narrow(numbers: NDArray[np.float64]) -> NDArray[Any]:
    """A copy in single precision, if that changes nothing: other programs expect it."""
    narrow = numbers.astype(np.float32)
    return narrow if np.array_equal(narrow, numbers) else numbers.copy()
