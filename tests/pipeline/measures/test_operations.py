"""Synaptic operations, counted by hand, and one by one in networks of every kind."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikesam.backends.network import (
    LIF,
    Attention,
    Conv,
    Dense,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
    pair,
)
from spikesam.pipeline.measures.synaptic_operations import (
    Attending,
    Connection,
    attentions,
    connections,
    fan_out,
    products,
)
from tests.backends.graphs import FLOAT, graphs
from tests.layers import input_of


def conv(out: int, channels: int, side: int = 3, **more: object) -> Layer:
    return Layer(
        "conv1", input_of(np.ones((out, channels, side, side), np.float32), **more), LIF(leak=0.9)
    )


def way(layer: Layer, shape: tuple[int, int, int]) -> Connection:
    return Connection("input", layer.name, layer.inputs[0], shape)


def test_fan_out_of_a_convolution_is_smaller_at_borders() -> None:
    # 3 × 3 kernels with padding 1 on 3 × 4 pixels: a corner lies under 2 × 2 places, the middle
    # under 3 × 3.
    expected = np.outer([2, 3, 2], [2, 3, 3, 2])
    assert np.array_equal(fan_out(conv(1, 2, padding=1).inputs[0], (2, 3, 4)), [expected, expected])
    assert np.array_equal(fan_out(conv(5, 1, padding=1).inputs[0], (1, 3, 4)), [5 * expected])


def test_a_weight_of_0_is_no_synapse() -> None:
    weight = np.ones((2, 2, 1, 1), np.float32)
    weight[0, 1] = 0
    synapses = Layer("conv1", weight, LIF(leak=0.9)).inputs[0]
    assert fan_out(synapses, (2, 1, 1)).ravel().tolist() == [2, 1]
    assert fan_out(synapses, (2, 1, 1), dense=True).ravel().tolist() == [2, 2]
    assert fan_out(Readout(np.float32([[0, 1, 0], [0, 1, 1]])), (3, 1, 1)).ravel().tolist() == [
        0,
        2,
        1,
    ]


def grown(model: nn.Conv2d) -> np.ndarray:
    """Its kernel without groups and gaps: what it makes of the unit of each channel and place."""
    units = torch.eye(model.in_channels * 25).view(-1, model.in_channels, 5, 5)
    found = model(units).detach()[:, :, 0, 0].T.reshape(model.out_channels, model.in_channels, 5, 5)
    return found.numpy()


@pytest.mark.parametrize(("groups", "dilation"), [(1, 1), (32, 1), (4, 1), (1, 2), (8, 2)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_zeros_that_fill_a_kernel_are_no_weights_of_an_ann(
    groups: int, dilation: int, shuffled: bool
) -> None:
    torch.manual_seed(0)
    side = 5 if dilation == 1 else 3
    model = nn.Conv2d(32, 32, side, bias=False, dilation=dilation, groups=groups)
    weight = grown(model)
    if shuffled:
        weight = weight[:, np.random.default_rng(0).permutation(32)]
    layer = Layer("conv1", Input(Conv(weight, padding=0)), LIF(leak=0.9))
    network = Network((32, 9, 9), 3, (layer,), Readout(np.ones((2, 32 * 25))), "spikes")
    assert np.count_nonzero(weight) == model.weight.numel()
    assert products(network)["conv1"] == model.weight.numel() * 25
    pruned = weight.copy()
    pruned[np.unravel_index(np.flatnonzero(weight)[5], weight.shape)] = (
        0  # a weight of 0 that is there, counts
    )
    network = Network(
        (32, 9, 9),
        3,
        (Layer("conv1", pruned, LIF(leak=0.9)),),
        Readout(np.ones((2, 32 * 25))),
        "spikes",
    )
    assert products(network)["conv1"] == model.weight.numel() * 25


def test_maxima_and_weights_that_pass_spikes_on_multiply_nothing_but_weights_of_0_do() -> None:
    """As those of layers that join others, or of a readout that counts spikes."""
    weight = np.zeros((4, 4, 3, 3), np.float32)
    weight[range(4), range(4)] = 1
    relay = Layer("relay", Input(Conv(weight, stride=2, padding=1)), LIF(0.0, 0.75, reset="zero"))
    network = Network((4, 8, 8), 3, (relay,), Readout(np.ones((2, 4 * 16))), "spikes")
    assert products(network) == {"relay": 0, "readout": 128}
    join = np.zeros((4, 2, 1, 1), np.float32)
    join[[2, 3], [0, 1]] = 1
    neuron = LIF(leak=0.9)
    layers = (
        Layer("conv1", np.ones((2, 1, 1, 1), np.float32), neuron),
        Layer("joined", join, neuron),
    )
    network = Network((1, 1, 1), 2, layers, Readout(np.eye(4, dtype=np.float32)), "spikes")
    assert products(network) == {"conv1": 2, "joined": 0, "readout": 0}
    assert [each.dense for each in connections(network)] == [2, 2, 4]
    zeros = Layer("fc1", np.zeros((8, 16), np.float32), neuron)
    network = Network((1, 4, 4), 3, (zeros,), Readout(np.ones((2, 8), np.float32)), "spikes")
    assert products(network)["fc1"] == 128


def test_operations_of_three_spikes() -> None:
    spikes = np.zeros((2, 1, 3, 3), bool)
    spikes[0, 0, 0, 0] = spikes[1, 0, 0, 0] = spikes[1, 0, 1, 1] = (
        True  # a corner twice, the middle once
    )
    by_step, by_place = way(conv(2, 1, padding=1), (1, 3, 3)).operations(spikes)
    assert by_step.tolist() == [2 * 4, 2 * (4 + 9)]
    assert by_place.tolist() == [[16, 0, 0], [0, 18, 0], [0, 0, 0]]


def test_products_of_an_ann() -> None:
    network = Network(
        input_shape=(2, 4, 4),
        timesteps=3,
        layers=(
            conv(3, 2, padding=1),
            Layer("fc1", Dense(np.ones((5, 12), np.float32), pool=2), LIF(leak=0.9)),
        ),
        readout=Readout(np.ones((2, 5), np.float32)),
    )
    # One image, not its two planes: 3 channels × (2 + 3 + 3 + 2)²; 12 pooled values × 5; 5 × 2.
    assert products(network) == {"conv1": 300, "fc1": 60, "readout": 10}


def test_sums_are_multiplied_once_and_the_identity_not_at_all() -> None:
    weight, neuron = np.ones((2, 2, 1, 1), np.float32), LIF(leak=0.9)
    first = Layer("conv1", weight, neuron)
    second = Layer(
        "conv2", (Input(weight, ("conv1", Source("input", 2))), Input(Identity(), "input")), neuron
    )
    network = Network(
        (2, 3, 3), 4, (first, second), Readout(np.ones((1, 18), np.float32)), "spikes"
    )
    assert products(network) == {"conv1": 36, "conv2": 36, "readout": 18}
    ways = [(each.source, each.target, int(each.fan_out.sum())) for each in connections(network)]
    assert ways == [
        *[("input", "conv1", 36), ("conv1", "conv2", 36), ("input", "conv2", 36)],
        *[("input", "conv2", 18), ("conv2", "readout", 18)],
    ]


def reached(
    synapses: Input | Readout, channel: int, row: int, column: int, shape: tuple[int, int, int]
) -> int:
    """Synapses whose weight is not 0 that one value of a pooled map of this shape reaches, found
    one by one.
    """
    synapse = synapses.synapse if isinstance(synapses, Input) else None
    if synapse and not synapse.tensors:
        return 1
    weight = synapses.weight
    if not isinstance(synapse, Conv):
        return int(np.count_nonzero(weight[:, (channel * shape[1] + row) * shape[2] + column]))
    (up, left), (down, right) = pair(synapse.padding), pair(synapse.stride)
    _, _, rows, columns = weight.shape
    found = 0
    for y in range((shape[1] + 2 * up - rows) // down + 1):
        for x in range((shape[2] + 2 * left - columns) // right + 1):
            for i, j in product(range(rows), range(columns)):
                if (y * down + i - up, x * right + j - left) == (row, column):
                    found += int(np.count_nonzero(weight[:, channel, i, j]))
    return found


@settings(max_examples=40, deadline=None)
@given(graphs(FLOAT, products=False), st.integers(0, 2**32), st.sampled_from((0.05, 0.5, 1.0)))
def test_every_spike_counts_at_every_synapse_that_it_reaches(
    network: Network, seed: int, density: float
) -> None:
    """Strides, paddings, pooling of both kinds, several sources and inputs, delays, loops, weights
    of 0.
    """
    random, seen = np.random.default_rng(seed), set()
    for each in connections(network):
        seen.add((each.source, each.target))
        spikes = random.random((2, *each.shape)) < density
        y, x = (1, 1) if isinstance(each.synapses, Readout) else pair(each.synapses.synapse.pool)
        maximum = isinstance(each.synapses, Input) and each.synapses.synapse.pooling == "max"
        pooled = (each.shape[0], each.shape[1] // y, each.shape[2] // x)
        known = {
            place: reached(each.synapses, *place, pooled) for place in product(*map(range, pooled))
        }
        by_step, by_place = each.operations(spikes)
        expected = np.zeros((2, *pooled[1:]), int)
        for step in range(2):
            places = [(c, h // y, w // x) for c, h, w in np.argwhere(spikes[step]).tolist()]
            for place in set(places) if maximum else places:
                expected[(step, *place[1:])] += known[place]
        assert by_step.tolist() == expected.sum(axis=(1, 2)).tolist()
        assert by_place.tolist() == expected.sum(axis=0).tolist()
        caused = each.caused(spikes)
        assert not caused[~spikes].any()
        np.testing.assert_allclose(caused.sum(axis=(1, 2, 3)), by_step)
    read = {
        (source.layer, layer.name)
        for layer in network.layers
        for each in layer.inputs
        for source in each.sources
    }
    assert seen == read | {(network.layers[-1].name, "readout")}


def test_spikes_that_are_repeated_count_as_often() -> None:
    """Each of two spikes becomes 2 × 2 × 3, of which a kernel of ones reaches 12 neurons, and an
    identity one each.
    """
    alone = Input(Identity(spread=(2, 2, 3)), "a")
    kernel = Input(Conv(np.ones((5, 2, 1, 1)), spread=(2, 2, 3)), "a")
    spikes = np.array([[1], [0], [1]], bool).reshape(3, 1, 1, 1)
    for synapses, each in ((alone, 12), (kernel, 60)):
        way = Connection("a", "b", synapses.checked(np.float32, 2), (1, 1, 1))
        by_step, by_place = way.operations(spikes)
        assert (by_step.tolist(), by_place.sum(), way.dense) == ([each, 0, each], 2 * each, each)
        assert way.caused(spikes).ravel().tolist() == by_step.tolist()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(1, 3), (2, 2), (3, 1)]),
    st.sampled_from(["qkv", "q k v", "q q k k v v"]),
)
def test_attention_counts_every_addition_of_the_shorter_order(
    seed: int, heads: tuple[int, int], read: str
) -> None:
    random, (count, depth) = np.random.default_rng(seed), heads
    channels, (height, width), steps = count * depth, (2, 2), 3
    fired = {
        name: random.random((steps, channels, height, width)) < random.choice((0.2, 0.8))
        for name in "qkv"
    }
    fired["qkv"] = np.concatenate(list(fired.values()), axis=1)
    sources = tuple(Source(name, 2) for name in read.split())
    each = Attending("out", Input(Attention(heads=count), sources), (channels, height, width))
    by_step, by_place = each.operations(fired, sources)
    assert by_step.sum() == by_place.sum()
    for t in range(steps):
        times = each.attention.planes(each.synapses)
        q, k, v = (
            (times * fired[name][t].reshape(count, depth, 4).astype(int)).tolist() for name in "qkv"
        )
        of_tokens = of_channels = 0
        for h in range(count):
            for m, c, e in product(range(4), range(depth), range(depth)):
                of_tokens += k[h][c][m] * v[h][e][m]
            of_tokens += sum(map(sum, q[h])) * depth
            for n, m in product(range(4), range(4)):
                met = sum(q[h][c][n] * k[h][c][m] for c in range(depth))
                of_channels += met + (sum(v[h][e][m] for e in range(depth)) if met else 0)
        assert by_step[t] == min(of_tokens, of_channels)
    every = {name: np.ones_like(spikes) for name, spikes in fired.items()}
    assert each.operations(every, sources)[0].tolist() == steps * [each.dense]


def test_products_of_attention_are_those_of_its_dense_twin() -> None:
    """q · kᵀ and that times v: twice, for every two of 6 tokens and each of 4 channels."""
    layer = Layer("out", Input(Attention(heads=2), ("input", "input", "input")), LIF(leak=0.9))
    network = Network((4, 2, 3), 4, (layer,), Readout(np.ones((1, 24), np.float32)), "spikes")
    assert products(network) == {"out": 2 * 36 * 4, "readout": 24}
    assert [each.target for each in attentions(network)] == ["out"]
