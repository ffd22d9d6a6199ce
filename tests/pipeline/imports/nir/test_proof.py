"""An import of a graph is what NIR's equations say: they by hand, and what is refused if it is
not.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import spikesam
from spikesam.backends.network import LIF, Layer, Source
from spikesam.pipeline.imports.nir import _proof as proof
from spikesam.pipeline.imports.nir import read
from tests.pipeline.imports.nir.graphs import DT, conv, graph, interpret, lif, nir, pool, weights


def full(*values: float) -> NDArray[np.float64]:
    return np.array(values)


def of_one(*nodes: Any) -> Any:
    """A chain of nodes between one input and one output."""
    return graph(nir.Input(np.array([1])), *nodes, nir.Output(np.array([1])))


def fired(found: Any, spikes: str, **options: Any) -> str:
    """What the last neurons of a chain fire, as "0101", at steps of one second."""
    given = np.array([bit == "1" for bit in spikes])[:, None]
    bits = list(interpret(found, given, dt=1.0, **options)[0].values())[-1]
    return "".join(str(int(bit)) for bit in bits[:, 0])


def test_the_equations_by_hand() -> None:
    """Each membrane is worked out at every step."""
    one = nir.Affine(np.ones((1, 1)), np.ones(1))
    quiet = nir.Affine(np.zeros((1, 1)), np.ones(1))
    integrates = nir.IF(full(1.0), full(1.5))
    # v is 1, then 2, which fires and is reset to zero; a spike of the input adds one.
    assert fired(of_one(quiet, integrates), "000000") == "010101"
    assert fired(of_one(one, integrates), "100110") == "101110"
    # 1, 2, which loses 1.5, 1.5, 2.5, 2; or 1, 2, 1.5, which fires at the threshold, 1, 2.
    assert fired(of_one(quiet, integrates), "00000", reset="subtract") == "01011"
    assert fired(of_one(quiet, integrates), "00000", reset="subtract", at=True) == "01101"
    # A bias in front of a delay of two steps begins two steps later.
    later = nir.Delay(full(2.0))
    assert fired(of_one(quiet, later, nir.IF(full(1.0), full(0.9))), "000000") == "001111"
    # v ← v/2 + (1 + 2·x)/2: 1/2, 3/4; then 15/8 with a spike fires above 1.
    leaky = nir.LIF(full(2.0), full(2.0), full(1.0), full(1.0))
    assert fired(of_one(leaky), "0010") == "0010"
    # i ← i/2 + x/2: 1/2, 1/4; v ← v/2 + i: 1/2, 1/2, 3/8.
    current = nir.CubaLIF(full(2.0), full(2.0), full(2.0), full(0.0), full(0.5), w_in=full(1.0))
    assert fired(of_one(current), "1000", at=True) == "1000"
    assert fired(of_one(current), "1100") == "0100"


def small() -> Any:
    """A convolution with a bias, its sums, and a dense layer that also reads itself."""
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input(np.array([2, 6, 6])),
        "conv": conv(rng, 3, 2, 3, 3),
        "first": lif((3, 4, 4)),
        "pool": pool("SumPool2d", 2),
        "flatten": nir.Flatten(np.array([3, 2, 2]), 0, -1),
        "fc": nir.Affine(weights(rng, 5, 12), np.full(5, 0.125)),
        "second": lif((5,)),
        "own": nir.Linear(weights(rng, 5, 5)),
        "output": nir.Output(np.array([5])),
    }
    names = [name for name in nodes if name != "own"]
    edges = [*pairwise(names), ("second", "own"), ("own", "second")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def with_neuron(layer: Layer, **constants: Any) -> Layer:
    assert isinstance(layer.neuron, LIF)
    return replace(layer, neuron=replace(layer.neuron, **constants))


def with_input(layer: Layer, **parts: Any) -> Layer:
    first, *others = layer.inputs
    return replace(layer, inputs=(replace(first, **parts), *others))


# What is planted into the first or the second layer of an import, and the node that is named.
PLANTED: dict[str, tuple[int, str, Callable[[Layer], Layer]]] = {
    "another reset": (0, "first", lambda layer: with_neuron(layer, reset="subtract")),
    "firing at the threshold": (
        0,
        "first",
        lambda layer: with_neuron(layer, fires_at_threshold=True),
    ),
    "another leak": (1, "second", lambda layer: with_neuron(layer, leak=0.7)),
    "no bias": (0, "first", lambda layer: with_neuron(layer, bias=0.0)),
    "a bias too early": (
        1,
        "second",
        lambda layer: with_neuron(layer, bias=np.full((1, 5), 0.125)),
    ),
    "a turned kernel": (
        0,
        "first",
        lambda layer: replace(layer, inputs=layer.inputs[0].weighed(lambda w: w[..., ::-1, :])),
    ),
    "an average for a sum": (
        1,
        "second",
        lambda layer: with_input(layer, gain=layer.inputs[0].gain / 4),
    ),
    "another delay": (
        1,
        "second",
        lambda layer: with_input(layer, source=(Source(layer.inputs[0].sources[0].layer, 2),)),
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_network_that_is_another_is_refused_with_node_step_and_neuron(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, node, change = PLANTED[fault]

    def planted(*units: Any, **options: Any) -> Any:
        built = build(*units, **options)
        layers = list(built.network.layers)
        layers[number] = change(layers[number])
        biases = list(built.biases)
        biases[number] = layers[number].neuron.bias
        network = replace(built.network, layers=tuple(layers), window=None)
        return replace(built, network=network, biases=tuple(biases))

    build = read.build
    found = small()
    assert len(read.from_nir(found, 20).layers) == 2
    monkeypatch.setattr(read, "build", planted)
    message = (
        rf"node '{node}': at step -?\d+ of (a dense input that becomes sparse|silence), neuron "
        r"\(\d, \d, \d\) (fires|does not fire) in the network and (fires|does not fire) by NIR's "
        r"equations; its membrane is .* in the network, .* by the equations, its threshold 1"
    )
    with pytest.raises(spikesam.NetworkError, match=message):
        read.from_nir(found, 20)


def test_behind_a_delay_the_last_layer_may_stand_first() -> None:
    rng = np.random.default_rng(0)
    delay = nir.Delay(np.full(4, 3 * DT))
    nodes = [nir.Input(np.array([4])), nir.Linear(weights(rng, 4, 4)), lif((4,)), delay]
    found = graph(*nodes, nir.Affine(weights(rng, 4, 4), np.ones(4)), lif((4,)), nir.Output([4]))
    network = read.from_nir(found, 20)
    assert network.layers[1].inputs[0].sources[0].delay == 3


def test_an_answer_that_is_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(*units: Any, **options: Any) -> Any:
        built = build(*units, **options)
        readout = replace(built.network.readout, weight=2 * built.network.readout.weight)
        return replace(built, network=replace(built.network, readout=readout))

    build = read.build
    monkeypatch.setattr(read, "build", planted)
    message = "node 'output': the network's answer differs by up to .* from what NIR's equations"
    with pytest.raises(spikesam.NetworkError, match=message):
        read.from_nir(small(), 20)


def test_the_dense_input_passes_twice_the_threshold() -> None:
    """So a reset that matters beyond 2θ alone is told from another."""
    found = small()
    spikes = proof.proof_inputs(16, [2, 6, 6])[:, :1]
    assert spikes[:8].mean() > 0.6
    reading = read.Rules(DT, True, None, None).reading
    equations = proof.Equations(read.opened_graph(found), reading, spikes)
    for name in ("first", "second"):
        assert np.max(equations.neurons[name].membranes) > 2
