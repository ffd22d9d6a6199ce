"""From NIR: a graph, or a file of one, becomes a network that any backend runs."""

from __future__ import annotations

from os import PathLike
from typing import Any, get_args

import numpy as np

from backends.network import DEFAULT_RANGE, Layer, Network, NetworkError, Shape
from backends.network.checks import real, whole
from backends.network.neurons import Reset
from recordings.errors import InputError
from recordings.schema import check_size

from . import DT, nir_library
from .attributes import metadata, same_shape
from .chain import Named, chain
from .files import read_graph
from .layer import read_layer
from .neurons import Rules
from .node_groups import group_by_layer
from .readout import read_readout


def from_nir(
    graph: Any,
    timesteps: int | None = None,
    *,
    dt: float | None = None,
    reset: Reset | None = None,
    fires_at_threshold: bool | None = None,
) -> Network:
    """A network from NIR, the Neuromorphic Intermediate Representation; needs the library `nir`.

    One step is one Euler step of NIR's equations. A graph has no delay between layers, so layer l fires l steps later
    here, and the network takes as many steps more than the input as it has layers. If the last nodes spike, their
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
        said = metadata(found, "graph", ("timesteps", "encoder", "dt", "input_range"))
        seconds = real(said.get("dt", DT) if dt is None else dt, "dt", "from_nir")
        if seconds <= 0:
            raise NetworkError(f"from_nir: dt is {seconds}, expected more than 0 seconds")
        rules = Rules(seconds, dt is not None or "dt" in said, reset, fires_at_threshold)
        return _network(chain(found), timesteps, said, rules)
    except InputError as error:
        line = " ".join(str(error).split())  # an array in a message has several
        raise NetworkError(f"{path}: {line}" if path else line) from None


def _network(nodes: list[Named], timesteps: int | None, said: dict[str, Any], rules: Rules) -> Network:
    groups = group_by_layer(nodes)
    depth = len(groups) - 1
    if timesteps is None and "timesteps" not in said:
        raise NetworkError("from_nir: got no timesteps, which this graph does not say; expected the steps of the input")
    told = timesteps is not None
    total = whole(timesteps if told else said["timesteps"], "timesteps", "from_nir", 1) + depth * told
    check_size("from_nir: timesteps", total, "T")
    if not depth:
        raise NetworkError(f"graph: got no neurons that spike, expected some before {nodes[-1].name!r}")
    shape = first = _input_shape(nodes[0])
    layers: list[Layer] = []
    for group in groups[:-1]:
        layers.append(read_layer(group, shape, layers, total, rules))
        shape = layers[-1].output_shape(shape)
    readout = read_readout(groups[-1], shape, depth, total, rules)
    same_shape(nodes[-1].node.output_type["output"], (len(readout.weight), 1, 1), "shape", nodes[-1].where)
    encoder: Any = str(said.get("encoder", "spikes"))
    largest = real(said.get("input_range", DEFAULT_RANGE), "input_range", "from_nir")
    return Network(first, total, tuple(layers), readout, encoder, largest)


def _input_shape(named: Named) -> Shape:
    """(C, H, W) of a node Input of (C, H, W) or (N,)."""
    shape = np.asarray(named.node.input_type["input"]).ravel().tolist()
    if len(shape) not in (1, 3) or not all(isinstance(length, int) and length > 0 for length in shape):
        raise NetworkError(f"{named.where}: shape is {tuple(shape)}, expected (C, H, W) or (N,)")
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])
