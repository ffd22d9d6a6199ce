"""Data of NIR: the spikes of a graph's nodes, of other programs or of chips, become a raster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.pipeline.imports.nir import nir_library
from spikesam.pipeline.imports.nir._files import MOST_OBJECTS, Walk
from spikesam.recordings.hdf5 import CheckedFile
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.events import CLOSE, Rounding, SpikeEvents
from spikesam.recordings.schema import check_name

SPIKES = "spikes"  # the observable that is read
NEURON = ".neuron"  # how the nodes of neurons end in graphs of `to_nir`
SAMPLES = {"labels": "label", "index": "index", "predictions": "prediction"}


class Exported(NamedTuple):
    """The facts in a file that data of NIR do not hold, because `spikesam export` wrote it."""

    shapes: dict[str, tuple[int, ...]]  # by node, in order of depth
    samples: dict[str, Any]  # arguments of `write_raster`
    layer_delay: int


@checked_arguments
def from_nir_data(
    data: Any,
    path: str | PathLike[str],
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dt: float | None = None,
    rounding: Rounding = "down",
    counts: str | None = None,
    layer_delay: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the spikes of NIR's data, such as the trace of a chip, as a raster file; needs the
    library `nir`.

    Each node with an observable "spikes" becomes a layer of its name, that of "conv1.neuron" is
    "conv1". Others are left out. What `spikesam export raster.h5 data.nir` wrote becomes the same
    raster again, with shapes and labels.

    Parameters
    ----------
    data : a `nir.NIRGraphData`, or the path of a file that `nir.write_data` made: `TimeGriddedData`
        of 0 and 1, or `EventData` with times in seconds
    path : of the new raster
    shapes : layer or node -> (C, H, W) of its neurons, or (K,), in order of depth; if not given, as
        the file says, else dense, in the order of the nodes, which is alphabetical in files of
        others; "input" is first
    dt : seconds in a step; needed where all data are events
    rounding : which step the time of an event belongs to, see :meth:`SpikeEvents.from_times`
    counts, layer_delay : as of :func:`write_raster`; the delay as the file says, or 0, if not given
    overwrite : replace an existing file

    Returns
    -------
    the path of the raster

    Raises
    ------
    InputError : naming the node whose data are no spikes, or do not fit

    Examples
    --------
    >>> import nir
    >>> import numpy as np
    >>> import spikesam
    >>> fired = np.eye(4, dtype=bool)[None]  # 1 sample, 4 steps, 4 neurons
    >>> spikes = nir.TimeGriddedData(fired, dt=1e-3)
    >>> data = nir.NIRGraphData({"lif": nir.NIRNodeData({"spikes": spikes})})
    >>> path = spikesam.from_nir_data(data, "chip.h5", overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     raster["lif"].counts.tolist()
    [[1, 1, 1, 1]]
    """
    nir = nir_library()
    place, exported = "from_nir_data", Exported({}, {}, 0)
    if isinstance(data, (str, PathLike)):
        place = str(data)
        data, exported = _read(nir, Path(data))
    elif not isinstance(data, nir.NIRGraphData):
        raise InputError(
            f"{place}: got {type(data).__name__}, expected a nir.NIRGraphData or a file of one"
        )
    delay = exported.layer_delay if layer_delay is None else layer_delay
    with at(place):
        layers, seconds = _layers(nir, data, exported, shapes, dt, rounding)
    description = exported.samples | {
        "layer_delay": delay,
        "dt": seconds,
        "counts": counts,
        "overwrite": overwrite,
    }
    return write_raster(Path(path), layers, **description)


def _layers(
    nir: Any,
    data: Any,
    exported: Exported,
    shapes: Mapping[str, tuple[int, ...]] | None,
    dt: float | None,
    rounding: Rounding,
) -> tuple[dict[str, Any], float]:
    """The spikes of layers by name, as `write_raster` takes them, and the seconds in a step."""
    nodes = {
        name: node.observables[SPIKES]
        for name, node in _nodes(nir, data, "")
        if SPIKES in node.observables
    }
    if not nodes:
        raise InputError(f"holds no node with an observable {SPIKES!r}, expected at least one")
    names = _layer_names(nodes)
    by_node = {name: node for node, name in names.items()} | {node: node for node in nodes}
    spikes_by_node = (
        exported.shapes
        if shapes is None
        else {by_node.get(name, name): shape for name, shape in shapes.items()}
    )
    if unknown := [name for name in spikes_by_node if name not in nodes]:
        raise InputError(
            f"holds no spikes of {unknown[0]!r}, expected shapes of some of {', '.join(names)}"
        )
    seconds = _seconds_in_a_step(nir, nodes, dt)
    order = [*spikes_by_node, *(node for node in nodes if node not in spikes_by_node)]
    layers = {}
    for node in order:
        shape = spikes_by_node.get(node)
        with at(f"node {node!r}"):
            layers[names[node]] = _spikes(nir, nodes[node], shape, seconds, rounding)
    return layers, seconds


def _nodes(nir: Any, data: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The nodes of data and of data inside it, by name: "outer.inner"."""
    for name, node in data.nodes.items():
        if isinstance(node, nir.NIRGraphData):
            yield from _nodes(nir, node, f"{prefix}{name}.")
        elif isinstance(node, nir.NIRNodeData):
            yield f"{prefix}{name}", node


def node_layer(node: str) -> str:
    """The layer that a node becomes."""
    name = node.removesuffix(NEURON).replace(".", "_")
    return name if name.isidentifier() else f"node_{name}"


def _layer_names(nodes: Mapping[str, Any]) -> dict[str, str]:
    node_names: dict[str, str] = {}
    for node in nodes:
        with at(f"node {node!r}"):
            check_name(node_layer(node))
            if node_layer(node) in node_names.values():
                raise InputError(f"a second layer {node_layer(node)!r}, expected other names")
        node_names[node] = node_layer(node)
    return node_names


def _seconds_in_a_step(nir: Any, nodes: Mapping[str, Any], dt: float | None) -> float:
    """As the caller says, or all nodes with steps."""
    step_seconds = None if dt is None else float(dt)
    for name, spikes in nodes.items():
        if isinstance(spikes, nir.TimeGriddedData):
            node_dt = float(spikes.dt)
            if step_seconds is not None and not np.isclose(
                node_dt, step_seconds, rtol=CLOSE, atol=0
            ):
                expected = f"expected {step_seconds:g} s"
                raise InputError(f"node {name!r}: has steps of {node_dt:g} s, {expected}")
            step_seconds = node_dt if step_seconds is None else step_seconds
    if step_seconds is None:
        raise InputError("holds events alone, expected dt, the seconds in a step")
    if not 0 < step_seconds < np.inf:
        raise InputError(f"dt: got {step_seconds:g}, expected seconds in a step, above 0")
    return step_seconds


def _spikes(
    nir: Any,
    content: Any,
    shape: tuple[int, ...] | None,
    dt: float,
    rounding: Rounding,
) -> Any:
    """The spikes as `write_raster` takes them: of a grid an array (N, T, …), of events a list."""

    count = int(content.n_neurons)
    of_map = (count,) if shape is None else tuple(shape)
    if np.prod(of_map, dtype=object) != count:
        raise InputError(f"has {count} neurons, expected a map of {of_map}")
    if isinstance(content, nir.TimeGriddedData):
        return content.data.reshape(*content.data.shape[:2], *of_map)
    idx, times = np.asarray(content.idx), np.asarray(content.time)
    if (
        idx.ndim != 2
        or idx.shape != times.shape
        or idx.dtype.kind not in "iu"
        or times.dtype.kind not in "iuf"
    ):
        raise InputError(
            f"events have shapes {idx.shape} and {times.shape}, expected (N, E) indices and times"
        )
    recorded = idx != -1
    if (
        isinstance(content, nir.ValuedEventData)
        and (values := np.asarray(content.value)[recorded]).size
        and (values != 1).any()
    ):
        raise InputError(
            f"events carry values such as {values[values != 1][0]:g}, expected spikes, whose value "
            "is 1"
        )
    steps = float(content.t_max) / dt
    if not 0 < steps < 1 << 31:
        raise InputError(
            f"t_max is {content.t_max:g} s, expected above 0, and less than 2³¹ steps of {dt:g} s"
        )
    sizes = (len(idx), int(np.ceil(steps - CLOSE)), *of_map)
    sample, _ = np.nonzero(recorded)
    return SpikeEvents.from_times(
        times[recorded], idx[recorded], shape=sizes, dt=dt, sample=sample, rounding=rounding
    )


def _read(nir: Any, path: Path) -> tuple[Any, Exported]:
    """The data of a file, looked at before the library reads it, and what it says beside."""
    checked = CheckedFile(path, "data", "data of NIR", f"{__name__}:{_read_alone.__name__}")
    with checked.file as file:
        if "nodes" not in checked.children(checked.root, MOST_OBJECTS):
            finding = "a graph of NIR" if "node" in file else "HDF5 without a group 'nodes'"
            raise checked.fail("/", finding, "data of NIR, as nir.write_data writes them")
        Walk(checked, set()).group(checked.root, "", 0)
        try:
            data = nir.read_data(path)
        except (
            Exception
        ) as error:  # the library checks little, so that anything can come of malformed nodes
            reason = " ".join(str(error).split())[:200]
            raise checked.fail(
                "/",
                f"unreadable data ({type(error).__name__}: {reason})",
                "what nir.write_data made",
            ) from None
        return data, _told(checked, data)


def _read_alone(path: str | PathLike[str]) -> Any:
    """The data of a file in a process of their own, which may crash."""
    return _read(nir_library(), Path(path))


def _told(checked: CheckedFile, data: Any) -> Exported:
    """The attributes that our export writes beside the spikes; nothing of a file of others."""
    file = checked.file
    root = checked.attributes(checked.root, {}, {"layer_delay": int})
    if not root:
        return Exported({}, {}, 0)
    shapes = {}
    with checked.reading("/"):
        for name in data.nodes:
            place = f"/nodes/{name}/observables/{SPIKES}"
            attributes = checked.attributes(file[place].id, {"shape": tuple, "number": int})
            shapes[name] = attributes["number"], attributes["shape"]
        held = {
            argument: f"samples/{name}"
            for argument, name in SAMPLES.items()
            if f"samples/{name}" in file
        }
        samples = {argument: file[place][()] for argument, place in held.items()}
    ordered = {
        name: shape for name, (_, shape) in sorted(shapes.items(), key=lambda entry: entry[1][0])
    }
    return Exported(ordered, samples, root["layer_delay"])
