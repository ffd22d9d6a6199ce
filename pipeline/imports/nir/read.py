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
from spikesam.pipeline.imports.nir import DT, KEY, nir_library, operations
from spikesam.pipeline.imports.nir.files import read_graph
from spikesam.pipeline.imports.nir.graph import (
    Graph,
    Named,
    arrows,
    divided,
    metadata,
    numbers,
    opened_graph,
    shape_of,
)
from spikesam.pipeline.imports.nir.operations import SAID, Rules, from_metadata, read_neurons
from spikesam.pipeline.imports.nir.proof import prove, says_all
from spikesam.pipeline.imports.road.build import Built, build, depths
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    Answer,
    Conv,
    DeclaredShape,
    Integral,
    Junction,
    Linear,
    Operation,
    Path,
    Scale,
    Unit,
    expect_at,
)

MOST_PATHS = 1000  # that lead to the neurons of one layer
MOST_NODES = 100  # one behind the other without neurons


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
    input that becomes sparse and on silence, but where float32 rounds a membrane across its threshold.

    A graph that :func:`to_nir` made is not proven so. It says itself what the parameters say; what is given here goes
    before it.

    Parameters
    ----------
    graph : a `nir.NIRGraph`, or the path of a file that `nir.write` made
    timesteps : steps of the input; needed unless :func:`to_nir` made the graph
    dt : seconds in a step; 1e-4 if not given, as in files of snnTorch and SpikingJelly. 1 where one
        step is one unit of time, as in files of sinabs
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
    """The network of :func:`from_nir`, and the node of neurons that each of its layers is, if any."""
    nir = nir_library()
    expect_at(
        reset in (None, *get_args(Reset)), "from_nir", f"reset is {reset!r}", "'zero' or 'subtract'"
    )
    path = graph if isinstance(graph, (str, PathLike)) else None
    found = graph if path is None else read_graph(path)
    got = f"got {type(found).__name__}"
    expect_at(
        isinstance(found, nir.NIRGraph),
        str(path or "from_nir"),
        got,
        "a nir.NIRGraph or a file of one",
    )
    try:
        said = metadata(
            found, "graph", ("timesteps", "window", "encoder", "dt", "input_range", "layers")
        )
        with at("from_nir"):
            seconds = real(said.get("dt", DT) if dt is None else dt, "dt")
        expect_at(seconds > 0, "from_nir", f"dt is {seconds}", "more than 0 seconds")
        rules = Rules(seconds, dt is not None or "dt" in said, reset, fires_at_threshold)
        return _network(opened_graph(found), timesteps, said, rules)
    except InputError as error:
        line = " ".join(str(error).split())  # an array in a message has several
        raise NetworkError(f"{path}: {line}" if path else line) from None


def _network(
    graph: Graph, timesteps: int | None, said: dict[str, Any], rules: Rules
) -> tuple[Network, dict[str, str]]:
    """The network of an opened graph, and of what its metadata say; and the nodes that its layers
    are.
    """
    if timesteps is None and "timesteps" not in said:
        raise NetworkError(
            "from_nir: got no timesteps, which this graph does not say; expected the steps of the "
            "input"
        )
    reader = Paths(graph, rules)
    end, where = reader.arriving(graph.last), reader.where(graph.last)
    last = end.source
    if isinstance(last, Junction):
        found = " and ".join(str(leaf.source) for leaf in end.leaves)
        raise NetworkError(
            f"{where}: adds up what comes from {found}, expected one: a readout has one"
        )
    expect_at(last != INPUT, "graph", "got no neurons that spike", f"some before {graph.last!r}")
    expect_at(
        (end.lag, end.sign) == (0, 1),
        where,
        "gets spikes delayed or subtracted",
        "them as they are",
    )
    units = reader.units(str(last), str(said["layers"]) if "layers" in said else None)
    first, output = graph.named(graph.first), graph.named(graph.last)
    if (declared := output.node.output_type["output"]) is not None:
        end += Operation(output.where, DeclaredShape(shape_of(declared, output.where)))
    about = reader.carrier(end)
    told = metadata(about.node, about.where, ("scale", "leak", "bias")) if about else {}
    with at(about.where if about else "readout"):
        scale = real(told.get("scale", 1.0), "scale")
    with at("from_nir"):
        given = None if timesteps is None else whole(timesteps, "timesteps", 1, LONGEST)
        window = said.get("window") if given is None else given
        window = None if window is None else whole(window, "window", 1)
        steps = whole(said["timesteps"], "timesteps", 1, LONGEST) if given is None else None
        input_range = real(said.get("input_range", DEFAULT_RANGE), "input_range")
    built = build(
        units,
        Answer(end, scale),
        shape_of(first.node.input_type["input"], first.where),
        window,
        timesteps=steps,
        encoder=str(said.get("encoder", "spikes")),  # type: ignore[arg-type]
        input_range=input_range,
        in_order=True,
    )
    last_map, weighted = (
        built.network.shapes[-1],
        any(isinstance(each.what, Linear) for each in end.operations),
    )
    expect_at(
        weighted or last_map[1:] == (1, 1),
        "graph",
        f"its output is {last_map}",
        "one value per class",
    )
    network = reader.exact(built, told)
    nodes = {
        layer.name: reader.nodes[unit.name].name
        for unit, layer in zip(built.units, network.layers, strict=True)
        if unit.name in reader.nodes
    }
    if given is not None and not said and says_all(graph):
        prove(graph, rules, network, built, nodes, given)
    return network, nodes


class Paths:
    """The reader of a graph: the paths that lead to each of its nodes, and the units that they
    drive.
    """

    def __init__(self, graph: Graph, rules: Rules) -> None:
        self.graph, self.rules = graph, rules
        self.known: dict[tuple[str, bool], Path] = {}
        self.said: dict[str, list[Told]] = {}
        self.nodes = {self.where(name): graph.named(name) for name in graph.nodes}

    def where(self, name: str) -> str:
        """The name of a node in messages, which is that of its unit."""
        return INPUT if name == self.graph.first else self.graph.named(name).where

    def arriving(self, target: str, *behind: str) -> Path:
        """The values that come to a node; `behind` are the nodes that it comes to next, without
        neurons in between.
        """
        if target in behind:
            cycle = arrows([target, *behind[: behind.index(target) + 1]])
            raise NetworkError(
                f"nodes {cycle}: form a cycle without neurons, expected some that spike"
            )
        few = len(behind) <= MOST_NODES
        expect_at(
            few,
            f"node {target!r}",
            f"more than {MOST_NODES} nodes without neurons lead on",
            "fewer",
        )
        paths = [self.leaving(name, target, *behind) for name in self.graph.leading_to(target)]
        path = (
            paths[0]
            if len(paths) == 1
            else Path(Junction(self.where(target), "sum", tuple(paths)), lag=None)
        )
        few = sum(1 for _ in path.leaves) <= MOST_PATHS
        expect_at(few, f"node {target!r}", f"more than {MOST_PATHS} ways lead there", "fewer")
        return path

    def leaving(self, name: str, *behind: str) -> Path:
        """The values that come from a node."""
        if self.graph.fires(name):
            return Path(self.where(name))
        last = self.graph.fires(behind[0]) or behind[0] == self.graph.last
        if (name, last) not in self.known:
            path = self.arriving(name, *behind)
            self.known[name, last] = operations.path_behind(
                path, self.graph.named(name), self.rules, last
            )
        return self.known[name, last]

    def units(self, last: str, said: str | None) -> list[Unit]:
        """The neurons that lead to the last, in the order of layers: as metadata say it, or as deep
        as they are.
        """
        drives: dict[str, list[Path]] = {}
        waiting = [last]
        while waiting:
            where = waiting.pop()
            if where != INPUT and where not in drives:
                drives[where] = self._driving(self.nodes[where], in_order=said is not None)
                waiting += [
                    str(leaf.source) for path in reversed(drives[where]) for leaf in path.leaves
                ]
        drives = dict(reversed(drives.items()))
        reads = {
            where: [
                Source(str(leaf.source), leaf.lag or 0) for path in paths for leaf in path.leaves
            ]
            for where, paths in drives.items()
        }
        depth = depths(reads, {where: where for where in reads})
        order = sorted(drives, key=lambda where: (where == last, depth[where]))
        if said is not None:
            found = f"its metadata {KEY!r} name layers {said[:200]!r}"
            same = sorted(said.split()) == sorted(self.nodes[where].name for where in order)
            expect_at(same, "graph", found, "the neurons of the graph")
            order = [self.where(name) for name in said.split()]
        units: list[Unit] = []
        names = nir_layer_names(
            self.carrier(drives[where][0]) or self.nodes[where] for where in order
        )
        for where, layer in zip(order, names, strict=True):
            neuron, drive, shape = read_neurons(self.nodes[where], self.rules)
            own = [DeclaredShape(shape), Scale(drive)] if shape else [Scale(drive)]
            behind = tuple(Operation(where, each) for each in own)
            self.said[where] = self._told(where, drives[where])
            paths = [
                _with_weights(*each) for each in zip(drives[where], self.said[where], strict=True)
            ]
            paths = [replace(path, operations=(*path.operations, *behind)) for path in paths]
            units.append(Unit(where, where, layer, neuron, tuple(paths)))
        return units

    def _told(self, where: str, paths: Sequence[Path]) -> list[Told]:
        """The metadata of each path of a node: of the first, those of the node itself."""
        found = [Told(metadata(self.nodes[where].node, where, SAID), where)]
        for path in paths[1:]:
            carrier = self.carrier(path) or (
                self.nodes[path.operations[-1].label] if path.operations else None
            )
            carrier = carrier if carrier and carrier.where != where else None
            said = metadata(carrier.node, carrier.where, ("gain", "weight")) if carrier else {}
            found.append(Told(said, carrier.where if carrier else where))
        return found

    def exact(self, built: Built, told: dict[str, Any]) -> Network:
        """The network with the gains and biases of each step that metadata say."""
        layers = []
        for unit, layer, rows in zip(built.units, built.network.layers, built.biases, strict=True):
            if unit.name not in self.said:  # neurons that the graph does not have, for a bias
                layers.append(layer)
                continue
            said, inputs = self.said[unit.name], layer.inputs
            if any("gain" in each.said for each in said):
                found = f"has {len(inputs)} inputs"
                expect_at(
                    len(said) == len(inputs), unit.label, found, f"{len(said)}, as its metadata say"
                )
                gains = (of.gain(len(one.gain[0])) for one, of in zip(inputs, said, strict=True))
                inputs = tuple(
                    replace(one, gain=one.gain * gain)
                    for one, gain in zip(inputs, gains, strict=True)
                )
            assert isinstance(layer.neuron, LIF)
            neuron = replace(layer.neuron, bias=said[0].bias(layer.neuron.bias, rows[-1]))
            layers.append(replace(layer, inputs=inputs, neuron=neuron))
        readout = built.network.readout
        bias = Told(told, "readout").bias(readout.bias, np.atleast_2d(built.answer.bias)[-1])
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
            if isinstance(source, Junction) and source.label == node.where
            else (path,)
        )
        paths = [_a_step_later(each, node.where) for each in meeting]
        plain = [each for each in paths if isinstance(each.source, str) and not each.operations]
        if len(plain) > 1:
            first = paths.index(plain[0])
            together = Path(Junction(node.where, "sum", tuple(plain)), lag=None)
            paths = [each for each in paths if each not in plain]
            paths.insert(first, together)
        elif plain and plain[0].sign < 0:
            paths[paths.index(plain[0])] = replace(plain[0], sign=1) + Operation(
                node.where, Scale(-1.0)
            )
        if not in_order:
            paths.sort(
                key=lambda each: (
                    not self.carrier(each),
                    {leaf.source for leaf in each.leaves} == {node.where},
                )
            )
        return paths

    def carrier(self, path: Path) -> Named | None:
        """The last node of weights on a path, or of neurons that answer with their membranes."""
        for each in reversed(path.operations):
            if isinstance(each.what, (Conv, Linear, Integral)):
                return self.nodes[each.label]
        return self.carrier(path.source.branches[0]) if isinstance(path.source, Junction) else None


@dataclass(frozen=True)
class Told:
    """The metadata of an input, or of neurons, which NIR cannot say; and where they stand."""

    said: dict[str, Any]
    where: str

    def gain(self, channels: int) -> NDArray[np.float64]:
        """(1, C) or (T, C), by which that of the nodes is multiplied."""
        with at(self.where):
            return by_channel(self.said.get("gain", 1.0), channels, np.float64, "gain")

    def bias(self, rows: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
        """The bias of every step, found as these rows, which must be in the end what the nodes say,
        (C,).
        """
        if "bias" not in self.said:
            return rows
        with at(self.where):
            bias = by_channel(self.said["bias"], len(found), np.float64, "bias")
        from_metadata(bias[-1], found, "bias", self.where)
        return bias


def _with_weights(path: Path, told: Told) -> Path:
    """A path with the weights that metadata say; without the gain that those of the node contain,
    if it is constant.
    """
    places = [
        place for place, each in enumerate(path.operations) if isinstance(each.what, (Conv, Linear))
    ]
    if not places or not told.said.keys() & {"gain", "weight"}:
        return path
    operation = path.operations[places[-1]]
    weight, gain = operation.what.weight, told.gain(len(operation.what.weight))
    if len(gain) == 1:
        weight = divided(weight, gain[0])
    if "weight" in told.said:  # those of a gain 0 are lost
        exact = numbers(told.said["weight"], "weight", told.where)
        known = np.where(weight == 0, exact, weight) if exact.shape == weight.shape else weight
        weight = from_metadata(exact, known, "weight", told.where)
    operations = list(path.operations)
    operations[places[-1]] = replace(operation, what=replace(operation.what, weight=weight))
    return replace(path, operations=tuple(operations))


def _a_step_later(path: Path, own: str) -> Path:
    """A path on which the spikes of neurons that lead to themselves are there at the next step."""
    if isinstance(path.source, Junction):
        branches = tuple(_a_step_later(branch, own) for branch in path.source.branches)
        return replace(path, source=replace(path.source, branches=branches))
    found = np.maximum(path.lag or 0, int(path.source == own)).tolist()
    return replace(path, lag=tuple(found) if isinstance(found, list) else found)


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
            name = next(each for each in numbered if each not in taken)
        names.append(name)
    return names
