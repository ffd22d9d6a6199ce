"""From NIR: a graph, or a file of one, becomes a network that any backend runs."""

from __future__ import annotations

from os import PathLike
from typing import Any, get_args

import numpy as np

from spikesam.backends.network import DEFAULT_RANGE, Layer, Network, NetworkError, Shape, Source
from spikesam.backends.network.checks import real, whole
from spikesam.backends.network.neurons import Reset
from spikesam.pipeline.imports.delays import with_window
from spikesam.pipeline.imports.nir import DT, KEY, nir_library
from spikesam.pipeline.imports.nir.attributes import metadata, same_shape, text
from spikesam.pipeline.imports.nir.files import read_graph
from spikesam.pipeline.imports.nir.graph import Graph, Named, levels, opened
from spikesam.pipeline.imports.nir.layer import ReadInput, layer_names, read_input, read_layer
from spikesam.pipeline.imports.nir.neurons import Rules
from spikesam.pipeline.imports.nir.node_groups import InputNodes, inputs_of
from spikesam.pipeline.imports.nir.readout import read_readout
from spikesam.recordings.errors import InputError
from spikesam.recordings.schema import check_size


def from_nir(
    graph: Any,
    timesteps: int | None = None,
    *,
    dt: float | None = None,
    reset: Reset | None = None,
    fires_at_threshold: bool | None = None,
) -> Network:
    """A network from NIR, the Neuromorphic Intermediate Representation; needs the library `nir`.

    One step is one Euler step of NIR's equations. A graph has no delay between layers, and each layer costs one step
    here: a layer fires as many steps later as there are layers on its longest way from the input, shorter ways are
    delayed until then, and the network takes as many steps more than the input as its last layer is late. Edges that
    meet at neurons are inputs that are summed; spikes that lead back to the neurons that fired enter at the next step;
    nodes Delay hold whole steps. If the last nodes spike, their
    spikes are counted; neurons LI or I, or weights alone, become the readout.

    A graph that :func:`to_nir` made says itself what the parameters say; what is given here goes before it.

    Parameters
    ----------
    graph : a `nir.NIRGraph`, or the path of a file that `nir.write` made
    timesteps : steps of the input; needed unless :func:`to_nir` made the graph
    dt : seconds in a step; 1e-4 if not given, as in files of snnTorch and SpikingJelly. 1 where one step is one unit
        of time, as in files of sinabs
    reset : "zero", which is what NIR's equations say; or "subtract", which they cannot say, for a network of snnTorch
        or sinabs that subtracts its threshold (after the leak, see :class:`LIF`)
    fires_at_threshold : whether v = threshold fires; not by NIR's equations, but in SpikingJelly and sinabs

    Returns
    -------
    a float32 network with encoder "spikes"; layers have the names of the nodes of their weights, where these are names

    Raises
    ------
    InputError : naming the file, and the node that cannot be expressed exactly

    Examples
    --------
    >>> import spikesam
    >>> network = spikesam.load("cluttered-digits").network
    >>> graph = spikesam.to_nir(network, "digits.nir")
    >>> spikesam.from_nir("digits.nir").sha256 == network.sha256
    True
    """
    nir = nir_library()
    if reset not in (None, *get_args(Reset)):
        raise NetworkError(f"from_nir: reset is {reset!r}, expected 'zero' or 'subtract'")
    path = graph if isinstance(graph, (str, PathLike)) else None
    found = graph if path is None else read_graph(path)
    if not isinstance(found, nir.NIRGraph):
        raise NetworkError(
            f"{path or 'from_nir'}: got {type(found).__name__}, expected a nir.NIRGraph or a file of one"
        )
    try:
        said = metadata(found, "graph", ("timesteps", "window", "encoder", "dt", "input_range", "layers"))
        seconds = real(said.get("dt", DT) if dt is None else dt, "dt", "from_nir")
        if seconds <= 0:
            raise NetworkError(f"from_nir: dt is {seconds}, expected more than 0 seconds")
        rules = Rules(seconds, dt is not None or "dt" in said, reset, fires_at_threshold)
        return _network(opened(found), timesteps, said, rules)
    except InputError as error:
        line = " ".join(str(error).split())  # an array in a message has several
        raise NetworkError(f"{path}: {line}" if path else line) from None


def _network(graph: Graph, timesteps: int | None, said: dict[str, Any], rules: Rules) -> Network:
    end, *others = inputs_of(graph, graph.last, rules.dt)
    if others or len(end.reads) > 1:
        found = " and ".join(repr(read.name) for each in (end, *others) for read in each.reads)
        raise NetworkError(f"node {graph.last!r}: adds up what comes from {found}, expected one: a readout has one")
    if (end.reads[0].steps, end.reads[0].sign) != (0, 1):
        raise NetworkError(f"node {graph.last!r}: gets spikes delayed or subtracted, expected them as they are")
    last = end.reads[0].name
    if timesteps is None and "timesteps" not in said:
        raise NetworkError("from_nir: got no timesteps, which this graph does not say; expected the steps of the input")
    inputs = _inputs_of_all(graph, last, rules.dt, in_order="layers" in said)
    level = levels({n: [(r.name, r.steps) for each in i for r in each.reads] for n, i in inputs.items()}, graph.first)
    depth, told = level[last], timesteps is not None
    total = whole(timesteps if told else said["timesteps"], "timesteps", "from_nir", 1) + depth * told
    window = total - depth if told else said.get("window")
    window = window if window is None else whole(window, "window", "from_nir", 1)
    check_size("from_nir: timesteps", total, "T")
    if not inputs:
        raise NetworkError(f"graph: got no neurons that spike, expected some before {graph.last!r}")
    order = sorted(inputs, key=lambda name: (name == last, level[name]))
    if "layers" in said:
        order = _in_order(order, str(said["layers"]))
    for name, (first, *_) in inputs.items():
        if first.group.synapse is None:
            raise NetworkError(f"node {name!r}: got no weights in front of it, expected Affine, Linear or Conv2d")
    shapes, read = _read_inputs({name: inputs[name] for name in order}, graph, rules)
    names = layer_names(synapse for name in order if (synapse := inputs[name][0].group.synapse))
    called = {graph.first: "input", **dict(zip(order, names, strict=True))}
    layers: list[Layer] = []
    for node, name in zip(order, names, strict=True):
        sources = [
            tuple(Source(called[r.name], r.steps + level[node] - level[r.name], r.sign) for r in each.reads)
            for each in inputs[node]
        ]
        layers.append(read_layer(name, inputs[node], read[node], sources, level[node], (total, window), rules))
    readout = read_readout(end.group, shapes[last], depth, total, rules)
    output = graph.named(graph.last)
    same_shape(output.node.output_type["output"], (len(readout.weight), 1, 1), "shape", output.where)
    encoder: Any = str(said.get("encoder", "spikes"))
    largest = real(said.get("input_range", DEFAULT_RANGE), "input_range", "from_nir")
    network = Network(shapes[graph.first], total, tuple(layers), readout, encoder, largest)
    return with_window(network, window, [level[node] for node in order])


def _inputs_of_all(graph: Graph, last: str, dt: float, in_order: bool) -> dict[str, list[InputNodes]]:
    """All inputs of all neurons that lead to the last, mostly in the order that spikes take.

    The inputs of one node are `in_order` of its edges, or those with weights come first, and what it reads of itself
    alone behind those.
    """
    inputs: dict[str, list[InputNodes]] = {}
    waiting = [last]
    while waiting:
        name = waiting.pop()
        if name in inputs or name == graph.first:
            continue
        inputs[name] = inputs_of(graph, name, dt)
        if not in_order:
            inputs[name].sort(key=lambda each: (not each.group.synapse, {read.name for read in each.reads} == {name}))
        waiting += [read.name for each in reversed(inputs[name]) for read in reversed(each.reads)]
    return dict(reversed(inputs.items()))


def _read_inputs(
    inputs: dict[str, list[InputNodes]], graph: Graph, rules: Rules
) -> tuple[dict[str, Shape], dict[str, list[ReadInput]]]:
    """(C, H, W) of every node that fires, and all inputs, each read once the shape of its sources is known."""
    shapes = {graph.first: _input_shape(graph.named(graph.first))}
    read: dict[tuple[str, int], ReadInput] = {}
    waiting = [(name, number) for name, of_node in inputs.items() for number in range(len(of_node))]
    while waiting:
        left = []
        for name, number in waiting:
            each = inputs[name][number]
            known = [source.name for source in each.reads if source.name in shapes]
            if not known:
                left.append((name, number))
                continue
            read[name, number] = found = read_input(each.group, shapes[known[0]], rules)
            if found.shape != shapes.setdefault(name, found.shape):
                raise NetworkError(
                    f"node {name!r}: gets {text(found.shape)} from {known[0]!r} and {text(shapes[name])} from others, "
                    "expected equal shapes"
                )
        if len(left) == len(waiting):
            raise NetworkError(f"node {left[0][0]!r}: nothing on the way from {graph.first!r} is read there")
        waiting = left
    for name, of_node in inputs.items():
        for first, *others in (each.reads for each in of_node):
            for other in others:
                if shapes[other.name] != shapes[first.name]:
                    raise NetworkError(
                        f"node {name!r}: adds {first.name!r} of {text(shapes[first.name])} and {other.name!r} of "
                        f"{text(shapes[other.name])}, expected equal shapes"
                    )
    return shapes, {name: [read[name, number] for number in range(len(of))] for name, of in inputs.items()}


def _in_order(names: list[str], said: str) -> list[str]:
    """Nodes in the order of the layers that they were, as metadata say it."""
    order = said.split()
    if sorted(order) != sorted(names):
        raise NetworkError(f"graph: its metadata {KEY!r} name layers {said[:200]!r}, expected the neurons of the graph")
    return order


def _input_shape(named: Named) -> Shape:
    """(C, H, W) of a node Input of (C, H, W) or (N,)."""
    shape = np.asarray(named.node.input_type["input"]).ravel().tolist()
    if len(shape) not in (1, 3) or not all(isinstance(length, int) and length > 0 for length in shape):
        raise NetworkError(f"{named.where}: shape is {tuple(shape)}, expected (C, H, W) or (N,)")
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])
