"""From NIR: a graph, or a file of one, becomes a network that any backend runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from os import PathLike
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import DEFAULT_RANGE, LIF, Network, NetworkError, Source
from spikesam.backends.network.checks import by_channel, real, whole
from spikesam.backends.network.consistency import LONGEST
from spikesam.backends.network.neurons import Reset
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.common.warning import warn
from spikesam.pipeline.imports.nir import DT, KEY, _nodes, nir_library
from spikesam.pipeline.imports.nir._files import read_graph
from spikesam.pipeline.imports.nir._graph import (
    Named,
    NirGraph,
    arrows,
    divided,
    metadata,
    numbers,
    opened_graph,
    shape_of,
)
from spikesam.pipeline.imports.nir._nodes import (
    SAID,
    Rules,
    from_metadata,
    read_neurons,
    step_is_unsaid,
)
from spikesam.pipeline.imports.nir._proof import prove, says_all
from spikesam.pipeline.imports.road.build import Built, build, depths
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    Answer,
    Convolve,
    DeclaredShape,
    Integral,
    Junction,
    Linear,
    Operation,
    Path,
    Scale,
    Unit,
    expect,
)

MOST_PATHS = 1000  # that lead to the neurons of one layer
MOST_NODES = 100  # one behind the other without neurons


GRAPH_KEYS = "timesteps", "window", "encoder", "dt", "input_range", "layers"
READOUT_KEYS = "scale", "leak", "bias", "weight"


@checked_arguments
def from_nir(
    graph: Any,
    timesteps: int | None = None,
    *,
    dt: float | None = None,
    reset: Reset | None = None,
    fires_at_threshold: bool | None = None,
) -> Network:
    """A network from NIR, the Neuromorphic Intermediate Representation; needs the library `nir`.

    One step is one Euler step of NIR's equations. A graph has no delay between layers, and each
    layer costs one step here: a layer fires as many steps later as there are layers on its longest
    way from the input, shorter ways are delayed until then, and the network takes as many steps
    more than the input as its last layer is late. Edges that meet at neurons are inputs that are
    summed; spikes that lead back to the neurons that fired enter at the next step; nodes Delay hold
    whole steps. If the last nodes spike, their spikes are counted; neurons LI or I, or weights
    alone, become the readout.

    The network must fire what NIR's equations say, computed step by step in float64, on a dense
    input that becomes sparse and on silence, but where float32 rounds a membrane across its
    threshold.

    A graph that :func:`to_nir` made is not proven so. It says itself what the parameters say; what
    is given here goes before it.

    Parameters
    ----------
    graph : a `nir.NIRGraph`, or the path of a file that `nir.write` made
    timesteps : steps of the input; needed unless :func:`to_nir` made the graph
    dt : seconds in a step; 1e-4 if not given, as in files of snnTorch and SpikingJelly. 1e-3 in
        files of Norse; 1 where one step is one unit of time, as in files of sinabs. A warning says
        so where the graph's constants do not show a step of 1e-4
    reset : "zero", which is what NIR's equations say; or "subtract", which they cannot say, for a
        network of snnTorch or sinabs that subtracts its threshold (after the leak, see
        :class:`LIF`)
    fires_at_threshold : whether v = threshold fires; not by NIR's equations, but in SpikingJelly
        and sinabs

    Returns
    -------
    a float32 network with encoder "spikes"; layers have the names of the nodes of their weights,
        where these are names

    Raises
    ------
    InputError : naming the file, and the node that cannot be expressed exactly; or the first bit
        that NIR's equations do not say, its node, step and neuron

    Examples
    --------
    >>> import spikesam
    >>> network = spikesam.load("cluttered-digits").network
    >>> graph = spikesam.to_nir(network, "digits.nir")
    >>> spikesam.from_nir("digits.nir").sha256 == network.sha256
    True
    """
    return read_nir(graph, timesteps, dt=dt, reset=reset, fires_at_threshold=fires_at_threshold)[0]


def read_nir(
    graph: Any,
    timesteps: int | None,
    *,
    dt: float | None,
    reset: Reset | None,
    fires_at_threshold: bool | None,
) -> tuple[Network, dict[str, str]]:
    """The network of :func:`from_nir`, and the node that each of its layers is, if any."""
    nir = nir_library()
    known_resets = (None, *get_args(Reset))
    with at("from_nir"):
        expect(reset in known_resets, f"reset is {reset!r}", "'zero' or 'subtract'")
    path = graph if isinstance(graph, (str, PathLike)) else None
    nir_graph = graph if path is None else read_graph(path)
    with at(path or "from_nir"):
        is_graph = isinstance(nir_graph, nir.NIRGraph)
        expect(is_graph, f"got {type(nir_graph).__name__}", "a nir.NIRGraph or a file of one")
    try:
        with at("graph"):
            graph_metadata = metadata(nir_graph, GRAPH_KEYS)
        with at("from_nir"):
            seconds = real(graph_metadata.get("dt", DT) if dt is None else dt, "dt")
            expect(seconds > 0, f"dt is {seconds}", "more than 0 seconds")
        rules = Rules(seconds, dt is not None or "dt" in graph_metadata, reset, fires_at_threshold)
        opened = opened_graph(nir_graph)
        network = _network(opened, timesteps, graph_metadata, rules)
    except InputError as error:
        line = " ".join(str(error).split())  # an array in a message has several
        raise NetworkError(f"{path}: {line}" if path else line) from None
    if not rules.dt_known and step_is_unsaid(opened.nodes.values(), DT):
        warn(
            f"from_nir: {path or 'the graph'} does not say how long a step is, taken as dt=1e-4 s; "
            "files of snnTorch and SpikingJelly have 1e-4, of Norse 1e-3, of sinabs 1; give dt"
        )
    return network


def _network(
    graph: NirGraph, timesteps: int | None, graph_metadata: dict[str, Any], rules: Rules
) -> tuple[Network, dict[str, str]]:
    """The network of an opened graph, and of what its metadata say; and the nodes that its layers
    are.
    """
    if timesteps is None and "timesteps" not in graph_metadata:
        raise NetworkError(
            "from_nir: got no timesteps, which this graph does not say; expected the steps of the "
            "input"
        )
    reader = Paths(graph, rules)
    end, label = reader.arriving(graph.last), reader.label(graph.last)
    last = end.source
    with at(label):
        if isinstance(last, Junction):
            named_sources = " and ".join(str(leaf.source) for leaf in end.leaves)
            raise NetworkError(
                f"adds up what comes from {named_sources}, expected one: a readout has one"
            )
    with at("graph"):
        expect(last != INPUT, "got no neurons that spike", f"some before {graph.last!r}")
    with at(label):
        unchanged = (end.lag, end.sign) == (0, 1)
        expect(unchanged, "gets spikes delayed or subtracted", "them as they are")
    units = reader.units(
        str(last), str(graph_metadata["layers"]) if "layers" in graph_metadata else None
    )
    first, output = graph.named(graph.first), graph.named(graph.last)
    if (declared := output.node.output_type["output"]) is not None:
        with at(output.label):
            end += Operation(output.label, DeclaredShape(shape_of(declared)))
    carrier = reader.carrier(end)
    with at(carrier.label if carrier else "readout"):
        carrier_metadata = metadata(carrier.node, READOUT_KEYS) if carrier else {}
        scale = real(carrier_metadata.get("scale", 1.0), "scale")
    with at("from_nir"):
        asked_steps = None if timesteps is None else whole(timesteps, "timesteps", 1, LONGEST)
        window = graph_metadata.get("window") if asked_steps is None else asked_steps
        window = None if window is None else whole(window, "window", 1)
        steps = (
            whole(graph_metadata["timesteps"], "timesteps", 1, LONGEST)
            if asked_steps is None
            else None
        )
        input_range = real(graph_metadata.get("input_range", DEFAULT_RANGE), "input_range")
    with at(first.label):
        shape = shape_of(first.node.input_type["input"])
    built = build(
        units,
        Answer(end, scale),
        shape,
        window,
        timesteps=steps,
        encoder=str(graph_metadata.get("encoder", "spikes")),  # type: ignore[arg-type]
        input_range=input_range,
        in_order=True,
    )
    last_map, weighted = (
        built.network.shapes[-1],
        any(isinstance(operation.what, Linear) for operation in end.operations),
    )
    with at("graph"):
        flat = weighted or last_map[1:] == (1, 1)
        expect(flat, f"its output is {last_map}", "one value per class")
    network = reader.exact(built, carrier_metadata)
    nodes = {
        layer.name: reader.nodes[unit.name].name
        for unit, layer in zip(built.units, network.layers, strict=True)
        if unit.name in reader.nodes
    }
    if asked_steps is not None and not graph_metadata and says_all(graph):
        prove(graph, rules, network, built, nodes, asked_steps)
    return network, nodes


class Paths:
    """The reader of a graph: the paths that lead to each of its nodes, and the units that they
    drive.
    """

    def __init__(self, graph: NirGraph, rules: Rules) -> None:
        self.graph, self.rules = graph, rules
        self.known: dict[tuple[str, bool], Path] = {}
        self.told: dict[str, list[Told]] = {}
        self.nodes = {self.label(name): graph.named(name) for name in graph.nodes}

    def label(self, name: str) -> str:
        """The name of a node in messages, which is that of its unit."""
        return INPUT if name == self.graph.first else self.graph.named(name).label

    def arriving(self, target: str, *nodes_behind: str) -> Path:
        """The values that come to a node; `nodes_behind` are the nodes that it comes to next,
        without neurons in between.
        """
        if target in nodes_behind:
            cycle = arrows([target, *nodes_behind[: nodes_behind.index(target) + 1]])
            raise NetworkError(
                f"nodes {cycle}: form a cycle without neurons, expected some that spike"
            )
        with at(f"node {target!r}"):
            few = len(nodes_behind) <= MOST_NODES
            expect(few, f"more than {MOST_NODES} nodes without neurons lead on", "fewer")
        sources = self.graph.leading_to(target)
        paths = [self.leaving(name, target, *nodes_behind) for name in sources]
        path = paths[0]
        if len(paths) != 1:
            path = Path(Junction(self.label(target), "sum", tuple(paths)), lag=None)
        with at(f"node {target!r}"):
            few = sum(1 for _ in path.leaves) <= MOST_PATHS
            expect(few, f"more than {MOST_PATHS} ways lead there", "fewer")
        return path

    def leaving(self, name: str, *nodes_behind: str) -> Path:
        """The values that come from a node."""
        if self.graph.fires(name):
            return Path(self.label(name))
        last = self.graph.fires(nodes_behind[0]) or nodes_behind[0] == self.graph.last
        if (name, last) not in self.known:
            path = self.arriving(name, *nodes_behind)
            self.known[name, last] = _nodes.path_behind(
                path, self.graph.named(name), self.rules, last
            )
        return self.known[name, last]

    def units(self, last: str, stated_order: str | None) -> list[Unit]:
        """The neurons that lead to the last, in the order of layers: as metadata say it, or as deep
        as they are.
        """
        drives: dict[str, list[Path]] = {}
        waiting = [last]
        while waiting:
            label = waiting.pop()
            if label != INPUT and label not in drives:
                drives[label] = self._driving(self.nodes[label], in_order=stated_order is not None)
                waiting += [
                    str(leaf.source) for path in reversed(drives[label]) for leaf in path.leaves
                ]
        drives = dict(reversed(drives.items()))
        reads = {
            label: [
                Source(str(leaf.source), leaf.lag or 0) for path in paths for leaf in path.leaves
            ]
            for label, paths in drives.items()
        }
        depth = depths(reads, {label: label for label in reads})
        order = sorted(drives, key=lambda label: (label == last, depth[label]))
        if stated_order is not None:
            finding = f"its metadata {KEY!r} name layers {stated_order[:200]!r}"
            same = sorted(stated_order.split()) == sorted(self.nodes[label].name for label in order)
            with at("graph"):
                expect(same, finding, "the neurons of the graph")
            order = [self.label(name) for name in stated_order.split()]
        units: list[Unit] = []
        names = nir_layer_names(
            self.carrier(drives[label][0]) or self.nodes[label] for label in order
        )
        for label, layer in zip(order, names, strict=True):
            with at(label):
                neuron, drive, shape = read_neurons(self.nodes[label], self.rules)
            kinds = [DeclaredShape(shape), Scale(drive)] if shape else [Scale(drive)]
            operations_behind = tuple(Operation(label, kind) for kind in kinds)
            self.told[label] = self._told(label, drives[label])
            weighted = map(_with_weights, drives[label], self.told[label])
            paths = tuple(
                replace(path, operations=(*path.operations, *operations_behind))
                for path in weighted
            )
            units.append(Unit(label, label, layer, neuron, paths))
        return units

    def _told(self, label: str, paths: Sequence[Path]) -> list[Told]:
        """The metadata of each path of a node: of the first, those of the node itself."""
        metadata_of_paths = [_told_by(self.nodes[label], SAID)]
        for path in paths[1:]:
            carrier = self.carrier(path) or (
                self.nodes[path.operations[-1].label] if path.operations else None
            )
            if carrier is None or carrier.label == label:
                metadata_of_paths.append(Told({}, label))
            else:
                metadata_of_paths.append(_told_by(carrier, ("gain", "weight")))
        return metadata_of_paths

    def exact(self, built: Built, readout_metadata: dict[str, Any]) -> Network:
        """The network with the gains and biases of each step that metadata say."""
        layers = []
        for unit, layer, rows in zip(built.units, built.network.layers, built.biases, strict=True):
            if unit.name not in self.told:  # neurons that the graph does not have, for a bias
                layers.append(layer)
                continue
            metadata_of_inputs, inputs = self.told[unit.name], layer.inputs
            if any("gain" in input_metadata.entries for input_metadata in metadata_of_inputs):
                finding = f"has {len(inputs)} inputs"
                expected = f"{len(metadata_of_inputs)}, as its metadata say"
                with at(unit.label):
                    expect(len(metadata_of_inputs) == len(inputs), finding, expected)
                gains = (
                    input_metadata.gain(len(layer_input.gain[0]))
                    for layer_input, input_metadata in zip(inputs, metadata_of_inputs, strict=True)
                )
                inputs = tuple(
                    replace(layer_input, gain=layer_input.gain * gain)
                    for layer_input, gain in zip(inputs, gains, strict=True)
                )
            assert isinstance(layer.neuron, LIF)
            bias = metadata_of_inputs[0].bias(layer.neuron.bias, rows[-1])
            neuron = replace(layer.neuron, bias=bias)
            layers.append(replace(layer, inputs=inputs, neuron=neuron))
        readout = built.network.readout
        if "weight" in readout_metadata:
            weight = np.asarray(readout_metadata["weight"])
            with at("readout"):
                same = np.array_equal(weight, readout.weight)
                expect(same, "its metadata have other weights", "those of its node")
            # sums of currents lose the sign of a zero, which the network's hash tells
            readout = replace(readout, weight=weight.astype(readout.weight.dtype))
        last_row = np.atleast_2d(built.answer.bias)[-1]
        bias = Told(readout_metadata, "readout").bias(readout.bias, last_row)
        return replace(built.network, layers=tuple(layers), readout=replace(readout, bias=bias))

    def _driving(self, node: Named, in_order: bool) -> list[Path]:
        """The paths that drive neurons: spikes as they are, together, and each other way.

        They are `in_order` of the edges, or those with weights come first, and what a node reads of
        itself alone last.
        """
        path = self.arriving(node.name)
        source = path.source
        meeting = (
            source.branches
            if isinstance(source, Junction) and source.label == node.label
            else (path,)
        )
        paths = [_a_step_later(path, node.label) for path in meeting]
        plain = [path for path in paths if isinstance(path.source, str) and not path.operations]
        if len(plain) > 1:
            first = paths.index(plain[0])
            together = Path(Junction(node.label, "sum", tuple(plain)), lag=None)
            paths = [path for path in paths if path not in plain]
            paths.insert(first, together)
        elif plain and plain[0].sign < 0:
            paths[paths.index(plain[0])] = replace(plain[0], sign=1) + Operation(
                node.label, Scale(-1.0)
            )
        if not in_order:
            paths.sort(
                key=lambda path: (
                    not self.carrier(path),
                    {leaf.source for leaf in path.leaves} == {node.label},
                )
            )
        return paths

    def carrier(self, path: Path) -> Named | None:
        """The last node of weights on a path, or of neurons that answer with their membranes."""
        for operation in reversed(path.operations):
            if isinstance(operation.what, (Convolve, Linear, Integral)):
                return self.nodes[operation.label]
        return self.carrier(path.source.branches[0]) if isinstance(path.source, Junction) else None


@dataclass(frozen=True)
class Told:
    """The metadata of an input, or of neurons, which NIR cannot say, and the label of the node."""

    entries: dict[str, Any]
    label: str

    def gain(self, channels: int) -> NDArray[np.float64]:
        """(1, C) or (T, C), by which that of the nodes is multiplied."""
        with at(self.label):
            return by_channel(self.entries.get("gain", 1.0), channels, np.float64, "gain")

    def bias(self, rows: NDArray[np.float64], last_row: NDArray[np.float64]) -> NDArray[np.float64]:
        """The bias of every step, found as these rows, which must be in the end what the nodes say,
        (C,).
        """
        if "bias" not in self.entries:
            return rows
        with at(self.label):
            bias = by_channel(self.entries["bias"], len(last_row), np.float64, "bias")
            from_metadata(bias[-1], last_row, "bias")
        return bias


def _told_by(node: Named, known_keys: tuple[str, ...]) -> Told:
    with at(node.label):
        return Told(metadata(node.node, known_keys), node.label)


def _with_weights(path: Path, stated: Told) -> Path:
    """A path with the weights that metadata say; without the gain that those of the node contain,
    if it is constant.
    """
    places = [
        place
        for place, operation in enumerate(path.operations)
        if isinstance(operation.what, (Convolve, Linear))
    ]
    if not places or not stated.entries.keys() & {"gain", "weight"}:
        return path
    operation = path.operations[places[-1]]
    weight, gain = operation.what.weight, stated.gain(len(operation.what.weight))
    if len(gain) == 1:
        weight = divided(weight, gain[0])
    if "weight" in stated.entries:  # those of a gain 0 are lost
        with at(stated.label):
            exact = numbers(stated.entries["weight"], "weight")
            fits = exact.shape == weight.shape
            node_weight = np.where(weight == 0, exact, weight) if fits else weight
            weight = from_metadata(exact, node_weight, "weight")
    operations = list(path.operations)
    operations[places[-1]] = replace(operation, what=replace(operation.what, weight=weight))
    return replace(path, operations=tuple(operations))


def _a_step_later(path: Path, neurons: str) -> Path:
    """A path on which the spikes of neurons that lead to themselves are there at the next step."""
    if isinstance(path.source, Junction):
        branches = tuple(_a_step_later(branch, neurons) for branch in path.source.branches)
        return replace(path, source=replace(path.source, branches=branches))
    lag = np.maximum(path.lag or 0, int(path.source == neurons)).tolist()
    return replace(path, lag=tuple(lag) if isinstance(lag, list) else lag)


def nir_layer_names(nodes: Iterable[Named]) -> list[str]:
    """Names of layers: those of the nodes of their weights, with underscores for dots, or else
    "conv1", "fc2", …
    """
    names: list[str] = []
    kinds: list[str] = []
    for node in nodes:
        kinds.append("conv" if node.kind in ("Conv1d", "Conv2d") else "fc")
        name, taken = node.name.replace(".", "_"), {"input", *names}
        if not (name.isascii() and name.isidentifier() and name not in taken):
            numbered = (f"{kinds[-1]}{number}" for number in count(kinds.count(kinds[-1])))
            name = next(candidate for candidate in numbered if candidate not in taken)
        names.append(name)
    return names
