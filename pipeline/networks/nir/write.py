"""To NIR: a network becomes a graph, and a file of it, that other programs read."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from backends.network import DEFAULT_RANGE, Network, NetworkError
from backends.network.checks import real
from recordings.disk import write_file

from . import DT, KEY, nir_library
from .nodes import layer_nodes, nir_size, readout_nodes
from .read import from_nir


def to_nir(network: Network, path: str | PathLike[str] | None = None, *, dt: float = DT, overwrite: bool = True) -> Any:
    """A network as a NIR graph, and as a file, from which :func:`from_nir` makes the same network again.

    Needs the library `nir`. A graph has no delay between layers; see :func:`from_nir`. Other programs read what NIR
    itself says: weights, pooling, leaks, thresholds, biases. What it cannot say is in the metadata of nodes, which they
    ignore: reset by subtraction, firing at the threshold, gains and biases that differ from step to step, maximum
    pooling of currents. Networks without these, whose neurons leak, are exact in snnTorch and SpikingJelly.

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
    network.check_chain("to_nir")
    if network.precision == "fixed":
        raise NetworkError("to_nir: got a network in fixed point, which NIR cannot say; expected it in float32")
    if real(dt, "dt", "to_nir") <= 0:
        raise NetworkError(f"to_nir: dt is {dt}, expected more than 0 seconds")
    names, steps = [layer.name for layer in network.layers], network.timesteps
    size = nir_size(network.layers[0], network.input_shape)
    nodes = {"input": nir.Input(np.array(size))}
    for number, layer in enumerate(network.layers):
        nodes |= layer_nodes(layer, size, number, steps, dt)
        size = nir_size(layer, network.shapes[number + 1])
    readout = readout_nodes(network.readout, size, _unused("readout", names), len(names), steps, dt)
    output = {_unused("output", names): nir.Output(np.array([network.classes] if readout else size))}
    nodes |= readout | output
    about = {"timesteps": network.timesteps, "encoder": network.encoder, "dt": float(dt)}
    if network.input_range != DEFAULT_RANGE:
        about["input_range"] = network.input_range
    graph = _graph_type(nir)(nodes, list(pairwise(nodes)), metadata={KEY: about}, type_check=False)
    if from_nir(graph).sha256 != network.sha256:
        raise NetworkError("to_nir: the graph does not hold this network exactly, expected numbers that NIR can hold")
    if path is not None:
        _write(nir, graph, Path(path), overwrite)
    return graph


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
