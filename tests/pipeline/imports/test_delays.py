"""Delays inside a model: what is behind one begins later, its bias, too."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import Network
from spikesam.pipeline.imports.nir.read import read_nir
from tests.pipeline.imports.models import Jelly, Written, loud, normalised
from tests.pipeline.imports.nir.graphs import interpret, nir

DENSITIES = (0.0, 0.15, 0.85)
T = 12
SEEDS = st.integers(0, 2**32 - 1)


def in_model_time(network: Network, spikes: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """(T, B, C, H, W) of each layer in the steps of the model, whose input (T, B, C, H, W) is."""
    with spikesam.simulate(network, spikes, backend="event", precision="float32") as raster:
        header = raster.header
        return {spec.name: raster[spec.name][:][header.window_of(spec)] for spec in header.layers}


def test_a_bias_in_front_of_a_delay_begins_later() -> None:
    """An IF of θ = 0.9 driven by 1 fires at every step; behind a delay of 2 at four steps of
    six.
    """
    one = np.ones(1)
    nodes = {
        "input": nir.Input(one.astype(int)),
        "w": nir.Affine(np.zeros((1, 1)), one),
        "delay": nir.Delay(2 * one),
        "a": nir.IF(one, 0.9 * one),
        "output": nir.Output(one.astype(int)),
    }
    names = list(nodes)
    edges = list(pairwise(names))
    network = spikesam.from_nir(nir.NIRGraph(nodes, edges, type_check=False), 6, dt=1)
    assert network.window == 6
    fired = in_model_time(network, np.zeros((6, 1, 1, 1, 1), np.bool_))["w"]
    assert fired.ravel().tolist() == [False, False, True, True, True, True]
    again = spikesam.from_nir(spikesam.to_nir(network))
    assert again.sha256 == network.sha256


def test_a_delay_of_each_channel_behind_weights() -> None:
    """IFs of θ = 1.9 driven by 1 and a spike of 1 meet it where both arrive,
    0 and 2 steps later.
    """
    one = np.ones(2)
    nodes = {
        "input": nir.Input(np.array([2])),
        "w": nir.Affine(np.eye(2), one),
        "delay": nir.Delay(np.array([0.0, 2.0])),
        "a": nir.IF(one, 1.9 * one),
        "output": nir.Output(np.array([2])),
    }
    edges = list(pairwise(nodes))
    network = spikesam.from_nir(nir.NIRGraph(nodes, edges, type_check=False), 6, dt=1)
    fired = in_model_time(network, np.ones((6, 1, 2, 1, 1), np.bool_))["w"].reshape(6, 2)
    assert fired.T.tolist() == [[True] * 6, [False, False, True, True, True, True]]
    fired = in_model_time(network, np.zeros((6, 1, 2, 1, 1), np.bool_))["w"].reshape(6, 2)
    assert fired.T.astype(int).tolist() == [[0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 0, 1]]
    assert spikesam.from_nir(spikesam.to_nir(network)).sha256 == network.sha256


def test_the_last_steps_of_a_model_are_not_cut() -> None:
    """Spikes at steps 0 … 5 arrive behind a delay of 2 at steps 2 … 5:
    the last two are not heard.
    """
    one = np.ones(1)
    nodes = {
        "input": nir.Input(one.astype(int)),
        "delay": nir.Delay(2 * one),
        "w": nir.Linear(np.ones((1, 1))),
        "a": nir.IF(one, 0.5 * one),
        "v": nir.Linear(np.ones((1, 1))),
        "b": nir.IF(one, 0.5 * one),
        "output": nir.Output(one.astype(int)),
    }
    names = list(nodes)
    edges = list(pairwise(names))
    network = spikesam.from_nir(nir.NIRGraph(nodes, edges, type_check=False), 6, dt=1)
    with spikesam.simulate(
        network, np.ones((6, 1, 1, 1, 1), np.bool_), backend="event", precision="float32"
    ) as raster:
        assert raster.readout.tolist() == [[4]]
        windows = [raster.header.window_of(spec) for spec in raster.layers]
        assert windows == [slice(0, 6), slice(1, 7), slice(2, 8)]
        header = raster.header
        assert TypeAdapter(type(header)).validate_python(dataclasses.asdict(header)) == header


def test_a_bias_in_front_of_spikingjellys_delay_begins_later() -> None:
    """A current of x + 1 meets θ = 0.9 at steps 2 … 5, whatever x is."""
    layer, neuron = Jelly("layer"), Jelly("neuron")
    model = nn.Sequential(nn.Linear(1, 1), layer.Delay(2), neuron.IFNode(v_threshold=0.9)).eval()
    model[0].weight.data.fill_(1.0)
    model[0].bias.data.fill_(1.0)
    network = spikesam.from_torch(model, torch.ones(1, 1), timesteps=6)
    (fired,) = list(in_model_time(network, np.zeros((6, 1, 1, 1, 1), np.bool_)).values())[1:]
    assert fired.ravel().tolist() == [False, False, True, True, True, True]


def test_gains_of_steps_in_front_of_a_delay_come_later() -> None:
    """TEBN passes step 0 alone: its 1 meets θ = 0.9 two steps later, behind a delay of 2."""
    layer, neuron = Jelly("layer"), Jelly("neuron")
    norm = layer.TemporalEffectiveBatchNorm1d(6, 1, eps=0.0)
    norm.scale.data = torch.eye(6)[0]
    modules = nn.Linear(1, 1, bias=False), norm, layer.Delay(2), neuron.IFNode(v_threshold=0.9)
    for module in modules[2:]:
        module.step_mode = "m"
    model = nn.Sequential(*modules).eval()
    model[0].weight.data.fill_(1.0)
    network = spikesam.from_torch(model, torch.ones(6, 1, 1))
    fired = in_model_time(network, np.ones((6, 1, 1, 1, 1), np.bool_))["ifnode_3"]
    assert fired.ravel().tolist() == [False, False, True, False, False, False]


class RandomGraph:
    """A NIR graph of two layers of neurons, each behind one to three ways with delays."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.axes = rng, int(rng.integers(0, 3))
        self.shape = (4, *[5] * self.axes)
        size = np.array(self.shape)
        self.nodes: dict[str, Any] = {"input": nir.Input(size), "output": nir.Output(size[:1])}
        self.edges: list[tuple[str, str]] = []
        fires = ["input"]
        for name in ("a", "b"):
            self.nodes[name] = self.neurons(self.shape)
            for number in range(rng.integers(1, 4)):
                source = str(rng.choice(fires)) if number else fires[-1]
                self.way(source, name, f"{name}{number}")
            fires.append(name)
        self.flat("b")

    def way(self, source: str, target: str, name: str) -> None:
        """Nodes from neurons to others: weights, scales and delays in some order."""
        rng = self.rng
        nodes = [self.delay(each=bool(rng.integers(2)))] if rng.integers(2) else []
        if self.axes and rng.integers(2):
            nodes += [self.convolution(1), self.delay(each=bool(rng.integers(2)))]
        nodes += [self.scale(), self.delay()] if rng.integers(2) else []
        nodes += [self.convolution(3) if self.axes else self.linear()]
        nodes += [self.scale()] if rng.integers(2) else []
        nodes += [self.delay(each=bool(rng.integers(2)))] if rng.integers(2) else []
        nodes += [self.scale(), self.delay()] if rng.integers(3) == 0 else []
        names = [source]
        for number, node in enumerate(nodes):
            names.append(f"{name}{'pqrstuvwxyz'[number]}")
            self.nodes[names[-1]] = node
        names.append(target)
        self.edges += pairwise(names)

    def flat(self, last: str) -> None:
        """Two neurons that answer, behind a delayed current."""
        count = int(np.prod(self.shape))
        chain = {"flatten": nir.Flatten(np.array(self.shape), 0, -1)} if self.axes else {}
        chain |= {"last": self.linear(2, count), "late": self.delay(), "c": self.neurons((2,))}
        self.nodes |= chain
        self.nodes["output"] = nir.Output(np.array([2]))
        names = [last, *chain, "output"]
        self.edges += pairwise(names)

    def numbers(self, *shape: int) -> NDArray[np.float64]:
        return self.rng.integers(-8, 12, shape) / 16

    def linear(self, outputs: int = 4, inputs: int = 4) -> Any:
        weight = self.numbers(outputs, inputs)
        return (
            nir.Affine(weight, self.numbers(outputs))
            if self.rng.integers(3)
            else nir.Linear(weight)
        )

    def convolution(self, side: int) -> Any:
        shape, padding = (4, 4, *[side] * self.axes), side // 2
        of_axes = nir.Conv1d if self.axes == 1 else nir.Conv2d
        return of_axes(None, self.numbers(*shape), 1, padding, 1, 1, self.numbers(4))

    def scale(self) -> Any:
        of_channels = self.rng.choice([-1.0, 0.5, 1.0, 2.0], 4).reshape(4, *[1] * self.axes)
        return nir.Scale(np.broadcast_to(of_channels, self.shape).copy())

    def delay(self, each: bool = False) -> Any:
        """A delay of all neurons, or of each channel."""
        steps = self.rng.integers(0, 3, 4 if each else 1).reshape(-1, *[1] * self.axes)
        return (
            nir.Delay(np.broadcast_to(steps, self.shape).astype(float))
            if each
            else nir.Delay(np.full(1, float(steps.flat[0])))
        )

    def neurons(self, shape: tuple[int, ...]) -> Any:
        one = np.ones(shape)
        kind = self.rng.integers(3)
        if kind == 0:
            return nir.IF(one, 1.03 * one)
        if kind == 1:
            return nir.LIF(4 * one, 4 * one, 0 * one, 1.03 * one)
        return nir.CubaLIF(2 * one, 4 * one, 4 * one, 0 * one, 1.03 * one, 0 * one, one)


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_what_random_graphs_with_delays_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = RandomGraph(rng)
    graph = nir.NIRGraph(drawn.nodes, drawn.edges, type_check=False)
    network, nodes = read_nir(graph, T, dt=1, reset=None, fires_at_threshold=None)
    shape = network.input_shape
    for density in DENSITIES:
        spikes = rng.random((T, 1, *shape)) < density
        arranged = spikes[:, 0].reshape(T, *drawn.shape)
        expected, _ = interpret(graph, arranged, dt=1)
        for name, bits in in_model_time(network, spikes).items():
            if name in nodes:
                assert np.array_equal(
                    bits[:, 0].reshape(T, -1), expected[nodes[name]].reshape(T, -1)
                )


def delayed_by_modules(mode: str) -> Callable[[np.random.Generator], nn.Module]:
    """SpikingJelly's `Delay`, behind weights or in front of them, somewhere in a chain."""

    def build(rng: np.random.Generator) -> nn.Module:
        layer, neuron = Jelly("layer"), Jelly("neuron")
        if mode == "m" and isinstance(Jelly("functional").delay, torch.jit.ScriptFunction):
            pytest.skip("this SpikingJelly delays all steps in a scripted function")
        modules: list[nn.Module] = []
        for inputs, outputs in ((6, 8), (8, 5)):
            late = [[layer.Delay(int(rng.integers(1, 4)))] * int(rng.integers(2)) for _ in range(2)]
            fires = [neuron.IFNode(v_threshold=0.61), neuron.LIFNode(v_threshold=0.31)]
            modules += [*late[0], layer.Linear(inputs, outputs), *late[1], fires[rng.integers(2)]]
        modules += [layer.Linear(5, 3), layer.Delay(1)][: rng.integers(1, 3)]
        for module in modules:
            module.step_mode = mode
        chain = nn.Sequential(*modules)
        if mode == "m":
            return chain
        return Written(lambda m, x: torch.stack([m.chain(step) for step in x]), chain=chain)

    return build


def delayed_by_a_loop(rng: np.random.Generator) -> nn.Module:
    """A current, or the spikes in front of it, wait in a variable, which begins with zeros."""
    steps, of_current, skips = int(rng.integers(1, 4)), bool(rng.integers(2)), bool(rng.integers(2))

    def forward(m: Any, x: Tensor) -> Tensor:
        waiting = [torch.zeros(x.shape[1], 8) for _ in range(steps)]
        given = []
        for step in x:
            fired = m.first(m.a(step))
            current = m.b(fired)
            waiting.append(current if of_current else fired)
            late = waiting.pop(0)
            late = m.norm(late if of_current else m.b(late))
            given.append(m.c(m.last(late + m.d(step) if skips else late)))
        return torch.stack(given)

    neuron = Jelly("neuron")
    linear = {
        "a": nn.Linear(6, 8),
        "b": nn.Linear(8, 8),
        "c": nn.Linear(8, 3),
        "d": nn.Linear(6, 8),
    }
    first, last = neuron.IFNode(v_threshold=0.61), neuron.LIFNode(v_threshold=0.31)
    return Written(forward, **linear, norm=nn.BatchNorm1d(8), first=first, last=last)


MODELS = {
    "Delay": delayed_by_modules("s"),
    "Delay of all steps": delayed_by_modules("m"),
    "the model's own loop": delayed_by_a_loop,
}


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_imported_delays_on_input_that_is_new(name: str, seed: int) -> None:
    """Bits and answers, on silence, on few and on many spikes."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = normalised(loud(MODELS[name](rng), 2))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.rand_like(parameter)
    try:
        network = spikesam.from_torch(model, (torch.rand(T, 4, 6) < 0.6).float())
    except spikesam.NetworkError as error:
        if "none of its neurons fires" in str(error) or "rounding" in str(error):
            reject()
        raise
    for density in DENSITIES:
        fresh = (torch.rand(T, 4, 6) < density).float()
        compared = spikesam.compare(model, network, fresh, backends=["event"])
        in_float32 = compared.runs["precision"] == "float32"
        assert (compared.runs["differ"][in_float32] == 0).all()
        bits = fresh.numpy().astype(np.bool_).reshape(T, 4, *network.input_shape)
        with (
            spikesam.simulate(network, bits, backend="event", precision="float32") as raster,
            torch.no_grad(),
        ):
            Jelly("functional").reset_net(model)
            answer = model(fresh).sum(0).numpy()
            Jelly("functional").reset_net(model)
            assert np.allclose(raster.readout, answer, atol=1e-4)
