"""To NIR: a network becomes a graph, and a file of it, that other programs read."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from spikesam.backends.network import DEFAULT_RANGE, Network, NetworkError
from spikesam.backends.network.checks import real
from spikesam.pipeline.imports.nir import DT, KEY, nir_library
from spikesam.pipeline.imports.nir.nodes import layer_nodes, nir_size, readout_nodes, source_nodes
from spikesam.pipeline.imports.nir.read import from_nir
from spikesam.recordings.disk import write_file


def to_nir(network: Network, path: str | PathLike[str] | None = None, *, dt: float = DT, overwrite: bool = True) -> Any:
    """A network as a NIR graph, and as a file, from which :func:`from_nir` makes the same network again.

    Needs the library `nir`. A graph has no delay between layers; see :func:`from_nir`. What a spike needs beyond the
    shortest way is a node Delay, what is subtracted a Scale by -1, and a further input of a layer one more edge to its
    neurons. Other programs read what NIR itself says: weights, pooling, leaks, thresholds, biases. What it cannot say
    is in the metadata of nodes, which they ignore: reset by subtraction, firing at the threshold, gains and biases that
    differ from step to step, maximum pooling of currents. Chains without these, whose neurons leak, are exact in
    snnTorch and SpikingJelly.

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
    InputError : if the network is an ANN or in fixed point, or the file cannot be written or, without
        `overwrite`, exists

    Examples
    --------
    >>> import spikesam
    >>> graph = spikesam.to_nir(spikesam.load("cluttered-digits").network)
    >>> list(graph.nodes)[:4]
    ['input', 'conv1.pool', 'conv1', 'conv1.neuron']
    """
    nir = nir_library()
    if not isinstance(network, Network):
        raise NetworkError(f"to_nir: got {type(network).__name__}, expected a Network, such as checkpoint.network")
    network.check_spiking("to_nir")
    if network.precision == "fixed":
        raise NetworkError("to_nir: got a network in fixed point, which NIR cannot say; expected it in float32")
    if real(dt, "dt", "to_nir") <= 0:
        raise NetworkError(f"to_nir: dt is {dt}, expected more than 0 seconds")
    network.check_sums_alone("to_nir", ", for which NIR has no node")
    if bare := [layer.name for layer in network.layers if layer.inputs[0].weight is None]:
        raise NetworkError(f"to_nir: layer {bare[0]!r} has no weights, as gates, expected some in its first input")
    names, steps = [layer.name for layer in network.layers], (network.timesteps, network.window)
    level_of = levels(network)
    shapes = zip(network.layers, network.shapes[1:], strict=True)
    sizes = {"input": nir_size(network.layers[0], network.input_shape)}
    sizes |= {layer.name: nir_size(layer, shape) for layer, shape in shapes}
    nodes: dict[str, Any] = {"input": nir.Input(np.array(sizes["input"]))}
    edges: list[tuple[str, str]] = []
    for layer in network.layers:
        of_inputs = [sizes[each.sources[0].layer] for each in layer.inputs]
        *parts, neurons = layer_nodes(layer, of_inputs, level_of[layer.name], steps, dt)
        for number, (each, part) in enumerate(zip(layer.inputs, parts, strict=True), 1):
            direct: set[str] = set()
            for place, source in enumerate(each.sources, 1):
                later = source.later(level_of[source.layer] - level_of[layer.name]).delay
                delay = np.array(0 if source.layer == layer.name and source.delay == 1 else later)
                plain = source.sign == 1 and (delay.any() or source.layer not in direct)  # an edge is there once
                if plain and not delay.any():
                    direct.add(source.layer)
                name = f"{layer.name}.{number}.{place}"
                between = source_nodes(name, sizes[source.layer], delay, None if plain else source.sign, dt)
                start = "input" if source.layer == "input" else f"{source.layer}.neuron"
                nodes |= between
                edges += pairwise([start, *between, next(iter(part))])
            nodes |= part
            edges += pairwise([*part, *neurons])
        nodes |= neurons
    size = sizes[names[-1]]
    readout = readout_nodes(network.readout, size, _unused("readout", names), level_of[names[-1]], steps[0], dt)
    output = {_unused("output", names): nir.Output(np.array([network.classes] if readout else size))}
    edges += pairwise([f"{names[-1]}.neuron", *readout, *output])
    nodes |= readout | output
    about: dict[str, Any] = {"timesteps": network.timesteps, "encoder": network.encoder, "dt": float(dt)}
    if network.window is not None:
        about["window"] = network.window
    if network.input_range != DEFAULT_RANGE:
        about["input_range"] = network.input_range
    if not network.is_chain:
        about["layers"] = " ".join(f"{name}.neuron" for name in names)
    graph = _graph_type(nir)(nodes, edges, metadata={KEY: about}, type_check=False)
    if from_nir(graph).sha256 != network.sha256:
        raise NetworkError("to_nir: the graph does not hold this network exactly, expected numbers that NIR can hold")
    if path is not None:
        _write(nir, graph, Path(path), overwrite)
    return graph


def levels(network: Network) -> dict[str, int]:
    """How many steps earlier NIR's neurons fire, where an edge takes no time: the least that its spikes need.

    1 where no layer on the way from the input reads the one before a step later; all its edges have a Delay.
    """
    level = {"input": 0}
    plain = list(level)
    reads = {layer.name: layer.sources for layer in network.layers}
    for name in plain:  # grows
        plain += [
            other
            for other, sources in reads.items()
            if other not in plain and any((source.layer, source.shortest) == (name, 1) for source in sources)
        ]
    level |= {name: 1 for name in reads if name not in plain}
    changed = True
    while changed:
        changed = False
        for name in plain[1:]:
            least = min(level[each.layer] + each.shortest for each in reads[name] if each.layer in level)
            if least < level.get(name, least + 1):
                level[name], changed = least, True
    return level


@cache
def _graph_type(nir: Any) -> Any:
    """`nir.NIRGraph`, but for its `repr`, which would be all the weights."""

    def described(graph: Any) -> str:
        return f"<NIRGraph: {', '.join(graph.nodes)}>"

    return type("NIRGraph", (nir.NIRGraph,), {"__repr__": described, "__reduce_ex__": _as_plain})


def _as_plain(graph: Any, protocol: int) -> tuple[Any, ...]:
    """How a graph is copied and pickled: as NIR's own."""
    return object.__new__, (type(graph).__base__,), vars(graph)


def _unused(name: str, taken: list[str]) -> str:
    """A name for a node that no layer has."""
    while name in taken:
        name += "_"
    return name


def _write(nir: Any, graph: Any, path: Path, overwrite: bool) -> None:
    """Write a file, atomically."""
    content = BytesIO()  # HDF5 itself would crash on a full disk
    nir.write(content, graph)
    try:
        write_file(path, content.getvalue(), overwrite=overwrite)
    except OSError as error:
        raise NetworkError(
            f"{path}: cannot be written ({error.strerror or error}); expected the name of a file"
        ) from None
