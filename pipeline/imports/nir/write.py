"""To NIR: a network becomes a graph, and a file of it, that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from io import BytesIO
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    DEFAULT_RANGE,
    LIF,
    NO_POOLING,
    Dense,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Shape,
    Weighted,
    Windows,
    pair,
)
from spikesam.backends.network.checks import real
from spikesam.backends.network.wiring import least_steps
from spikesam.common.arguments import checked_arguments
from spikesam.common.disk import write_file
from spikesam.common.errors import at
from spikesam.common.text import shorten
from spikesam.common.warning import warn
from spikesam.pipeline.imports.nir import DT, KEY, nir_library
from spikesam.pipeline.imports.nir._graph import divided
from spikesam.pipeline.imports.nir.read import from_nir
from spikesam.pipeline.imports.road.build import delayed
from spikesam.pipeline.imports.road.operations import expect


@checked_arguments(network="a Network, such as checkpoint.network")
def to_nir(
    network: Network,
    path: str | PathLike[str] | None = None,
    *,
    dt: float = DT,
    overwrite: bool = True,
) -> Any:
    """A network as a NIR graph, and as a file, from which :func:`from_nir` makes the same network
    again.

    Needs the library `nir`. A graph has no delay between layers; see :func:`from_nir`. What a spike
    needs beyond the shortest way is a node Delay, what is subtracted a Scale by -1, and a further
    input of a layer one more edge to its neurons. Other programs read what NIR itself says:
    weights, pooling, leaks, thresholds, biases. What it cannot say is in the metadata of nodes,
    which they ignore: reset by subtraction, firing at the threshold, gains and biases that differ
    from step to step, maximum pooling of currents. Chains without these, whose neurons leak, are
    exact in snnTorch and SpikingJelly. A warning says where a readout's bias acts at other
    steps in them, since their answers are then others.

    Parameters
    ----------
    network : spiking, float32
    path : of the file to write, usually `*.nir`; none is written if not given
    dt : seconds in a step
    overwrite : replace a file that exists

    Returns
    -------
    the graph, a `nir.NIRGraph`

    Raises
    ------
    InputError : if the network is an ANN or in fixed point, or the file cannot be written or,
        without `overwrite`, exists

    Examples
    --------
    >>> import spikesam
    >>> graph = spikesam.to_nir(spikesam.load("cluttered-digits").network)
    >>> list(graph.nodes)[:4]
    ['input', 'conv1.pool', 'conv1', 'conv1.neuron']
    """
    nir = nir_library()
    with at("to_nir"):
        network.check_spiking()
        if network.precision == "fixed":
            raise NetworkError(
                "got a network in fixed point, which NIR cannot say; expected it in float32"
            )
        expect(real(dt, "dt") > 0, f"dt is {dt}", "more than 0 seconds")
        network.check_sums_alone(", for which NIR has no node")
        first_synapses = {layer.name: layer.inputs[0].synapse for layer in network.layers}
        bare = [name for name, synapse in first_synapses.items() if not synapse.channels]
        if bare:
            raise NetworkError(
                f"layer {bare[0]!r} has no weights, as gates, expected some in its first input"
            )
    names, steps = [layer.name for layer in network.layers], (network.timesteps, network.window)
    level_of = levels(network)
    shapes = zip(network.layers, network.shapes[1:], strict=True)
    sizes = {"input": nir_size(network.layers[0], network.input_shape)}
    sizes |= {layer.name: nir_size(layer, shape) for layer, shape in shapes}
    nodes: dict[str, Any] = {"input": nir.Input(np.array(sizes["input"]))}
    edges: list[tuple[str, str]] = []
    for layer in network.layers:
        of_inputs = [sizes[layer_input.sources[0].layer] for layer_input in layer.inputs]
        *parts, neurons = layer_nodes(layer, of_inputs, level_of[layer.name], steps, dt)
        for number, (layer_input, part) in enumerate(zip(layer.inputs, parts, strict=True), 1):
            direct: set[str] = set()
            for place, source in enumerate(layer_input.sources, 1):
                later = source.later(level_of[source.layer] - level_of[layer.name]).delay
                delay = np.array(0 if source.layer == layer.name and source.delay == 1 else later)
                plain = source.sign == 1 and (
                    delay.any() or source.layer not in direct
                )  # an edge is there once
                if plain and not delay.any():
                    direct.add(source.layer)
                name = f"{layer.name}.{number}.{place}"
                between = source_nodes(
                    name, sizes[source.layer], delay, None if plain else source.sign, dt
                )
                start = "input" if source.layer == "input" else f"{source.layer}.neuron"
                nodes |= between
                edges += pairwise([start, *between, next(iter(part))])
            nodes |= part
            edges += pairwise([*part, *neurons])
        nodes |= neurons
    size = sizes[names[-1]]
    readout = readout_nodes(
        network.readout, size, _unused("readout", names), level_of[names[-1]], steps[0], dt
    )
    output = {
        _unused("output", names): nir.Output(np.array([network.classes] if readout else size))
    }
    edges += pairwise([f"{names[-1]}.neuron", *readout, *output])
    nodes |= readout | output
    graph_metadata: dict[str, Any] = {
        "timesteps": network.timesteps,
        "encoder": network.encoder,
        "dt": float(dt),
    }
    if network.window is not None:
        graph_metadata["window"] = network.window
    if network.input_range != DEFAULT_RANGE:
        graph_metadata["input_range"] = network.input_range
    if not network.is_chain:
        graph_metadata["layers"] = " ".join(f"{name}.neuron" for name in names)
    graph = _graph_type(nir)(nodes, edges, metadata={KEY: graph_metadata}, type_check=False)
    read_again = from_nir(graph)
    if read_again.sha256 != network.sha256:
        raise NetworkError(
            f"to_nir: the graph does not hold {_lost(network, read_again)} of this network "
            "exactly, expected numbers that NIR can hold"
        )
    if path is not None:
        _write(nir, graph, Path(path), overwrite)
    if any("bias" in node.metadata.get(KEY, {}) for node in readout.values()):
        bias, steps_before = network.readout.bias, level_of[names[-1]]
        here = (
            f"it acts in {steps_before} step{'s' * (steps_before > 1)} before the first spike, too"
            if (bias == bias[-1]).all()
            else "it differs from step to step"
        )
        warn(
            "to_nir: other programs add the readout's last bias at each of their steps; "
            f"here {here}"
        )
    return graph


def levels(network: Network) -> dict[str, int]:
    """The steps by which NIR's neurons fire earlier, where an edge takes no time: those of the
    model without delay between layers, if the network is of one; else the least that its spikes
    need.

    1 where no layer on the way from the input reads the one before a step later; all its edges have
    a Delay.
    """
    ways = [
        (source.layer, source.shortest, layer.name)
        for layer in network.layers
        for source in layer.sources
    ]
    starts = network.starts
    late = network.late is not None
    if late or (network.window is not None and starts["input"] == 0 and min(starts.values()) >= 0):
        return starts
    plain = least_steps({"input": 0}, (way for way in ways if way[1] == 1))
    return least_steps(
        {"input": 0} | {name: 1 for name in network.names if name not in plain}, ways
    )


@cache
def _graph_type(nir: Any) -> Any:
    """`nir.NIRGraph`, but for its `repr`, which would be all the weights."""

    def described(graph: Any) -> str:
        return f"<NIRGraph: {', '.join(graph.nodes)}>"

    return type("NIRGraph", (nir.NIRGraph,), {"__repr__": described, "__reduce_ex__": _as_plain})


def _as_plain(graph: Any, protocol: int) -> tuple[Any, ...]:
    """The plain form by which a graph is copied and pickled: as NIR's own."""
    return object.__new__, (type(graph).__base__,), vars(graph)


def _unused(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _write(nir: Any, graph: Any, path: Path, overwrite: bool) -> None:
    content = BytesIO()  # HDF5 itself would crash on a full disk
    nir.write(content, graph)
    try:
        write_file(path, content.getvalue(), overwrite=overwrite)
    except OSError as error:
        raise NetworkError(
            f"{path}: cannot be written ({error.strerror or error}); expected the name of a file"
        ) from None


Size = tuple[int, ...]  # a map as NIR has it: (C, H, W) or (N,)

SMALLEST = 2.0**-60  # of 1 - leak: a membrane that loses no more does not leak in double precision
ANY_SPIKE = 0.5  # a sum of spikes is above it if there is one, whether v > θ or v ≥ θ fires


def layer_nodes(
    layer: Layer, sizes: Sequence[Size], level: int, steps: tuple[int, int | None], dt: float
) -> list[dict[str, Any]]:
    """Nodes of a layer that fires `level` steps later than in NIR: those of each input, of `sizes`,
    then neurons.
    """
    name, neuron = layer.name, layer.neuron
    assert isinstance(neuron, LIF)
    bias = neuron.bias[-1]
    first, weight_metadata = _input_nodes(name, layer.inputs[0], sizes[0], bias)
    if not _same(neuron.bias, delayed(bias, level - 1, *steps, neuron.threshold) + 0.0):
        weight_metadata["bias"] = neuron.bias
    shape = layer.inputs[0].output_shape(_map(sizes[0]))
    nodes = [first]
    for number, (layer_input, size) in enumerate(zip(layer.inputs[1:], sizes[1:], strict=True), 2):
        further, input_metadata = _input_nodes(f"{name}.{number}", layer_input, size)
        if input_metadata:  # in the metadata of its weights, or of its Scale
            further[f"{name}.{number}"].metadata = _metadata(input_metadata)
        nodes.append(further)
    return [
        *nodes,
        {f"{name}.neuron": _neurons(neuron, nir_size(layer, shape), dt, weight_metadata)},
    ]


def _input_nodes(
    name: str, layer_input: Input, size: Size, bias: NDArray[np.float64] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Nodes of an input for a map of a size, and what they cannot say of it."""
    nir, synapse, shape = nir_library(), layer_input.synapse, _map(size)
    if not isinstance(synapse, Weighted):
        differs_by_step = len(layer_input.gain) > 1
        scale = _everywhere(1.0 if differs_by_step else layer_input.gain[0], size)
        return {name: nir.Scale(scale)}, {"gain": layer_input.gain} if differs_by_step else {}
    nodes: dict[str, Any] = {}
    dense = isinstance(synapse, Dense)
    if synapse.pool != 1 or synapse.pooling == "max":
        pool = pair(synapse.pool)
        kind = "AvgPool2d" if synapse.pooling == "average" else "SumPool2d"
        nodes[f"{name}.pool"] = _pool(kind, Windows(pool, pool), shape)
        shape = synapse.pooled_shape(shape)
        if synapse.pooling == "max":
            nodes[f"{name}.or"] = nir.Threshold(np.full(shape, ANY_SPIKE))
    if dense and len(size) == 3:
        nodes[f"{name}.flatten"] = _flatten(shape)
    weight, weight_metadata = _weights(synapse.weight, layer_input.gain)
    if dense:
        nodes[name] = nir.Linear(weight) if bias is None else nir.Affine(weight, _narrow(bias))
    else:
        stride, padding, dilation = map(pair, (synapse.stride, synapse.padding, 1))
        biases = np.zeros(len(weight)) if bias is None else bias
        nodes[name] = nir.Conv2d(shape[1:], weight, stride, padding, dilation, 1, _narrow(biases))
    if synapse.windows != NO_POOLING:
        unpooled = layer_input.unpooled_shape(_map(size))
        nodes[f"{name}.currents"] = _pool(
            "AvgPool2d", synapse.windows, unpooled, {"pooling": "max"}
        )
    return nodes, weight_metadata


def source_nodes(
    name: str, size: Size, steps: NDArray[Any], sign: int | None, dt: float
) -> dict[str, Any]:
    """Nodes between a source, which is a map of a size, and an input: a Delay of (C,) or () steps,
    a Scale by ±1.
    """
    nir = nir_library()
    nodes = {f"{name}.delay": nir.Delay(_everywhere(steps * dt, size))} if steps.any() else {}
    return nodes if sign is None else nodes | {f"{name}.sign": nir.Scale(_everywhere(sign, size))}


def readout_nodes(
    readout: Readout, size: Size, name: str, number: int, timesteps: int, dt: float
) -> dict[str, Any]:
    """Nodes of a readout behind `number` layers; none if it counts the spikes of each neuron."""
    nir, classes = nir_library(), len(readout.weight)
    readout_metadata: dict[str, Any] = {} if readout.scale == 1 else {"scale": readout.scale}
    bias = readout.bias[-1]
    if not _same(readout.bias, delayed(bias, number, timesteps) + 0.0):
        readout_metadata["bias"] = readout.bias
    if not _same(readout.weight, readout.weight + 0.0):
        readout_metadata["weight"] = readout.weight
    counted = _map(size) == (classes, 1, 1) and np.array_equal(readout.weight, np.eye(classes))
    if counted and readout.leak == 1 and not readout_metadata and not bias.any():
        return {}
    nodes = {f"{name}.flatten": _flatten(_map(size))} if len(size) == 3 else {}
    if readout.leak == 1:
        return nodes | {
            name: nir.Affine(
                readout.weight.copy(), _narrow(bias), metadata=_metadata(readout_metadata)
            )
        }
    r = np.full(classes, 1 / max(1 - readout.leak, SMALLEST))
    leaky = nir.LI(
        dt * r, r, np.zeros(classes), metadata=_metadata({**readout_metadata, "leak": readout.leak})
    )
    return nodes | {name: nir.Affine(readout.weight.copy(), _narrow(bias)), f"{name}.neuron": leaky}


def nir_size(layer: Layer, shape: Shape) -> Size:
    """A map that a layer takes or gives as NIR has it: (C,) of a dense one."""
    return shape[:1] if layer.kind == "dense" and shape[1:] == (1, 1) else shape


def _map(size: Size) -> Shape:
    return (*size, 1, 1)[:3]  # type: ignore[return-value]


def _flatten(shape: Shape) -> Any:
    """Axes counted from the end: from the beginning, programs disagree whether that of the samples
    counts.
    """
    return nir_library().Flatten(np.array(shape), -3, -1)


def _neurons(neuron: LIF, size: Size, dt: float, neuron_metadata: dict[str, Any]) -> Any:
    """A node CubaLIF where currents outlast a step, IF where nothing leaks, else LIF: equations in
    _nodes.py.
    """
    nir = nir_library()
    everywhere = partial(_everywhere, size=size)
    neuron_metadata |= {
        "reset": neuron.reset,
        "fires_at_threshold": neuron.fires_at_threshold,
        "leak": neuron.leak,
    }
    neuron_metadata |= {
        name: value
        for name in ("reset_by", "min_v_mem")
        if (value := getattr(neuron, name)) is not None
    }
    threshold, zeros = everywhere(neuron.threshold), everywhere(0)
    steps, synaptic_steps = (
        everywhere(1 / np.maximum(1 - np.asarray(leak), SMALLEST))
        for leak in (neuron.leak, neuron.synaptic_leak)
    )
    if np.any(neuron.synaptic_leak):
        neuron_metadata["synaptic_leak"] = neuron.synaptic_leak
        constants = (
            dt * synaptic_steps,
            dt * steps,
            steps,
            zeros,
            threshold,
            zeros.copy(),
            synaptic_steps,
        )
        return nir.CubaLIF(*constants, metadata=_metadata(neuron_metadata))
    if np.all(np.asarray(neuron.leak) == 1):
        return nir.IF(everywhere(1 / dt), threshold, zeros, metadata=_metadata(neuron_metadata))
    return nir.LIF(
        dt * steps, steps, zeros, threshold, zeros.copy(), metadata=_metadata(neuron_metadata)
    )


def _everywhere(value: Any, size: Size) -> NDArray[np.float64]:
    """One number, or one per channel, at every place of a map."""
    by_channel = np.broadcast_to(np.asarray(value, np.float64), size[:1])
    return np.broadcast_to(by_channel.reshape(-1, *(1,) * (len(size) - 1)), size).copy()


def _weights(
    weight: NDArray[np.float32], gain: NDArray[np.float64]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Weights that contain a gain by channel, in double precision, and the gain for the metadata,
    where it is not 1.
    """
    if len(gain) > 1:
        return weight.copy(), {"gain": gain}
    if (gain == 1).all():
        return weight.copy(), {}
    product = weight * gain.reshape(-1, *(1,) * (weight.ndim - 1))
    gain_metadata = {"gain": gain[0]}
    return product, gain_metadata if _same(divided(product, gain[0]), weight) else {
        **gain_metadata,
        "weight": weight,
    }


def _lost(network: Network, read_again: Network) -> str:
    """The names of the parts of a network that are others after it was read again."""
    (graph, tensors), (graph_again, tensors_again) = network.to_graph(), read_again.to_graph()
    parts = [name for name in graph if graph[name] != graph_again.get(name)]
    for name, numbers in tensors.items():
        other = tensors_again.get(name)
        if other is None or numbers.shape != other.shape or not _same(numbers, other):
            parts.append(name)
    return shorten(parts)


def _same(numbers: NDArray[Any], others: NDArray[Any]) -> bool:
    """True of the same bits: -0 is another number than 0 in a network's hash."""
    signs = np.array_equal(np.signbit(numbers), np.signbit(others))
    return signs and np.array_equal(numbers, others)


def _pool(
    kind: str, windows: Windows, shape: Shape, pool_metadata: dict[str, Any] | None = None
) -> Any:
    """A pooling node; NIR gives it no shape by itself."""
    node = getattr(nir_library(), kind)(
        *map(np.array, windows), metadata=_metadata(pool_metadata or {})
    )
    node.input_type = {"input": np.array(shape)}
    node.output_type = {"output": np.array((shape[0], *windows.fit(shape[1:])))}
    return node


def _metadata(entries: dict[str, Any]) -> dict[str, Any]:
    return {KEY: entries} if entries else {}


def _narrow(numbers: NDArray[np.float64]) -> NDArray[Any]:
    """A copy in single precision, if that changes nothing: other programs expect it."""
    narrow = numbers.astype(np.float32)
    return narrow if np.array_equal(narrow, numbers) else numbers.copy()
