"""Layers that read several others: what fits, what is refused, and what is stored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional

from spikesam.backends.network import (
    LIF,
    Attention,
    Conv,
    Dense,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Source,
    Windows,
)
from spikesam.backends.network.compact import compact
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import read_network, write_network
from tests.layers import input_of

random = np.random.default_rng(0)
NEURON = LIF(leak=0.9)


def kernel(outputs: int, inputs: int, side: int = 3) -> np.ndarray:
    return random.normal(size=(outputs, inputs, side, side)).astype(np.float32)


def residual(**changes: object) -> Network:
    """Sum of spikes, a shortcut with and one without weights, recurrence, a delay, a minus sign."""
    last = (
        Input(Conv(kernel(6, 4), stride=2, padding=1), ("b", Source("a", 2, -1))),
        Input(Conv(kernel(6, 4, 1), stride=2), "a"),
        Input(random.normal(size=(6, 6, 1, 1)), "c"),
    )
    layers = {
        "a": Layer("a", Input(Conv(kernel(4, 2), padding=1)), NEURON),
        "b": Layer(
            "b",
            (Input(Conv(kernel(4, 4), padding=1)), Input(Identity(), Source("a", 2), 0.5)),
            NEURON,
        ),
        "c": Layer("c", last, NEURON),
    }
    return Network(
        (2, 8, 8), 9, tuple((layers | changes).values()), Readout(random.normal(size=(3, 96)))
    )


def test_what_a_graph_says_of_itself():
    network = residual()
    assert network.shapes == ((2, 8, 8), (4, 8, 8), (4, 8, 8), (6, 4, 4))
    assert not network.is_chain and not network.has_loops
    assert network.to_readout == {"c": 0, "b": 1, "a": 1, "input": 2}
    assert [[each.sources for each in layer.inputs] for layer in network.layers] == [
        [(Source("input"),)],
        [(Source("a"),), (Source("a", 2),)],
        [(Source("b"), Source("a", 2, -1)), (Source("a"),), (Source("c"),)],
    ]
    assert [line.split() for line in str(network).splitlines()] == [
        ["layer", "reads", "shape", "weights"],
        ["input", "poisson", "2×8×8"],
        ["a", "input", "4×8×8", "4×2×3×3,", "padding", "1"],
        ["b", "a", "4×8×8", "4×4×3×3,", "padding", "1"],
        ["a", "(2", "steps)", "identity"],
        ["c", "b", "-", "a", "(2", "steps)", "6×4×4", "6×4×3×3,", "stride", "2,", "padding", "1"],
        ["a", "6×4×1×1,", "stride", "2"],
        ["c", "6×6×1×1"],
        ["readout", "c", "3", "3×96"],
    ]


def test_a_chain_that_is_written_as_a_graph_is_the_same_network():
    layers = residual().layers[:1]
    chain = Network((2, 8, 8), 9, layers, Readout(np.ones((3, 256))))

    def reading(source):
        return replace(
            chain, layers=(Layer("a", replace(layers[0].inputs[0], source=source), NEURON),)
        )

    named = reading("input")
    assert named.is_chain
    assert named.sha256 == chain.sha256
    assert reading(Source("input", 2)).sha256 != chain.sha256


def late(network: Network, delay: object) -> Network:
    """A network whose second layer reads `a` with other delays."""
    a, b, c = network.layers
    shortcut = replace(b.inputs[1], source=Source("a", delay))  # type: ignore[arg-type]
    return replace(network, layers=(a, Layer("b", (b.inputs[0], shortcut), b.neuron), c))


def test_delays_of_channels_are_those_of_the_network():
    plain = residual()
    network = late(plain, (3, 1, 1, 8))
    assert network.layers[1].inputs[1].sources[0].delay == (3, 1, 1, 8)
    assert network.to_readout == plain.to_readout
    assert "a (1 … 8 steps)" in str(network)
    assert late(plain, np.array([3, 1, 1, 8])).sha256 == network.sha256
    assert late(plain, [2, 2, 2, 2]).sha256 == plain.sha256  # one delay is described in one way
    assert len({late(plain, delays).sha256 for delays in ((3, 1, 1, 8), (3, 1, 8, 1), 2, 3)}) == 4


@pytest.mark.parametrize("change", [lambda network: network, quantise, compact])
@pytest.mark.parametrize(
    "build", [residual, lambda: late(residual(), (3, 1, 1, 8)), lambda: products()]
)
def test_a_graph_is_stored_with_every_number(tmp_path: Path, change, build):
    network = change(build())
    write_network(network, tmp_path / "net.safetensors")
    found, _ = read_network(tmp_path / "net.safetensors")
    assert (found.sha256, str(found)) == (network.sha256, str(network))
    (_, layer, *_), (_, written, *_) = found.layers, network.layers
    assert layer.sources == written.sources
    assert np.array_equal(layer.inputs[-1].gain, written.inputs[-1].gain)


def test_every_input_has_a_gain_of_its_own_in_fixed_point():
    network = residual()
    layer = quantise(network).layers[2]
    for each, of_float in zip(layer.inputs, network.layers[2].inputs, strict=True):
        assert each.weight.dtype == np.int8
        assert np.abs(each.weight).max() == 127
        real = each.gain[0, 0] / 2.0**each.shift / 4096
        assert real == pytest.approx(float(np.abs(of_float.weight).max()) / 127, rel=1e-3)
    identity = quantise(residual()).layers[1].inputs[1]
    assert identity.synapse.kind == "identity"
    assert identity.gain[0, 0] / 2.0**identity.shift == 0.5 * 4096  # a spike adds half a threshold


def test_a_layer_may_read_a_later_one():
    back = residual(
        a=Layer("a", (Input(Conv(kernel(4, 2), padding=1)), Input(Identity(), "b")), NEURON)
    )
    assert back.has_loops
    assert back.to_readout["input"] == 2


def one(name: str, weight: np.ndarray, source: str, **about: object) -> Layer:
    return Layer(name, input_of(weight, source, padding=1, **about), NEURON)  # type: ignore[arg-type]


def layer_b(*more: object, channels: int = 4, **about: object) -> Layer:
    return Layer("b", (input_of(kernel(4, channels), **{"padding": 1} | about), *more), NEURON)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([layer_b(source="aa")], "layer 'b': reads 'aa', which is not there; expected a"),
        (
            [layer_b(source=Source("a", 9))],
            "layer 'b': reads 'a' 9 steps later, expected less than T = 9",
        ),
        (
            [layer_b(source=Source("a", (1, 2, 9, 1)))],
            "layer 'b': reads 'a' 9 steps later, expected less than T = 9",
        ),
        (
            [layer_b(source=Source("a", (1, 1, 1)))],
            "layer 'b': has delays for 3 channels of 'a', expected 4",
        ),
        (
            [layer_b(source=("a", "input"))],
            "layer 'b': adds 'a' of 4×8×8 and 'input' of 2×8×8, expected equal",
        ),
        ([layer_b(channels=5)], "layer 'b': weight expects 5 channels, layer 'a' has 4"),
        (
            [layer_b(Input(Identity(), "a"), padding=0)],
            "layer 'b', input 2: 'a' gives 4×8×8 there, the layer is 4×6×6",
        ),
        (
            [layer_b(Input(Conv(kernel(4, 3), padding=1), "a"))],
            "layer 'b', input 2: weight expects 3 channels, layer 'a' ha",
        ),
        (
            [one("a", kernel(4, 4), "b"), layer_b()],
            "layer 'a' and 'b': nothing on the way from 'input'",
        ),
        (
            [one("c", kernel(6, 2), "input", stride=2)],
            "layer 'a': no way leads from there to the readout",
        ),
    ],
)
def test_layers_that_do_not_fit(changes, message):
    with pytest.raises(NetworkError, match=message):
        residual(**{layer.name: layer for layer in changes})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": Source("a", 0)}, "layer 'b': delay from 'a' is 0, expected an integer ≥ 1"),
        ({"source": Source("a", 5000)}, "delay from 'a' is 5000, expected 1 … 1024"),
        ({"source": Source("a", 1.5)}, "delay from 'a' is 1.5, expected an integer ≥ 1"),
        (
            {"source": Source("a", (1, 0))},
            "delay from 'a', channel 1, is 0, expected an integer ≥ 1",
        ),
        (
            {"source": Source("a", (-1, 2))},
            "delay from 'a', channel 0, is -1, expected an integer ≥ 1",
        ),
        (
            {"source": Source("a", np.array([1.0, 2.5]))},
            "delay from 'a', channel 0, is 1.0, expected an integer ≥ 1",
        ),
        (
            {"source": Source("a", [1, 5000])},
            "delay from 'a', channel 1, is 5000, expected 1 … 1024",
        ),
        (
            {"source": Source("a", ())},
            "delay from 'a' is of no channel, expected one for all, or one for each",
        ),
        (
            {"source": Source("a", [[1, 2]])},
            r"delay from 'a', channel 0, is \[1, 2\], expected an integer",
        ),
        ({"source": Source("a", 1, 2)}, "sign of 'a' is 2, expected 1 or -1"),
        ({"source": 3}, "source is 3, expected the name of a layer, or a Source"),
        ("a", "layer 'b', input 2: weight must be finite numbers"),
        (Input(None, "a"), "layer 'b', input 2: weight must be finite numbers"),
        (Input([[1], [1, 2]], "a"), "layer 'b', input 2: weight cannot be made an array"),
        (Input(Identity(), ()), "layer 'b', input 2: has no source"),
        ({"source": ("a", "c"), "pooling": "max", "pool": 2}, "expected one source, of sign 1"),
        (Input(Identity(), "a", shift=3), "shift is 3, expected 0 … 30, and 0 in float32"),
    ],
)
def test_inputs_that_cannot_be(given, message):
    with pytest.raises(NetworkError, match=message):
        layer_b(**given) if isinstance(given, dict) else layer_b(given)


@pytest.mark.parametrize(
    ("synapse", "message"),
    [
        (Identity(rows=3), "rows is 3, expected at most 65,536 numbers, -1 for zeros"),
        (Identity(columns=(0, -2)), "a number of columns is -2, expected an integer ≥ -1"),
        (Identity(spread=(1, 2)), r"spread is \(1, 2\), expected \(channels, rows, columns\)"),
        (Attention(0), "heads is 0, expected an integer ≥ 1"),
        (Conv(kernel(4, 4), padding=-1), "padding is -1, expected an integer ≥ 0"),
        (Conv(kernel(4, 4), current_sum=1), "current_sum is 1, expected True or False"),
        (Dense(np.ones((4, 1)), pool=0), "pool is 0, expected an integer ≥ 1"),
        (Dense(np.ones((4, 1)), pooling="all"), "pooling is 'all', expected 'average', 'sum' or"),
        (
            Dense(kernel(4, 4)),
            r"weight has shape \(4, 4, 3, 3\), expected \(out, in, y, x\) of Conv or \(out, in\)",
        ),
    ],
)
def test_synapses_that_cannot_be_name_their_layer_and_input(synapse, message):
    with pytest.raises(NetworkError, match=f"^layer 'b', input 2: {message}"):
        layer_b(Input(synapse, "a"))


def test_identities_have_no_weights_to_read():
    identity = Input(Identity())
    with pytest.raises(NetworkError, match=r"input: Identity.. has no weights, expected Conv or"):
        _ = identity.weight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool": 2}, "layer 'b': pool is 2 of the kind 'identity', expected 1"),
        ({"pooling": "max"}, "pooling is 'max' of the kind 'identity', expected 'average'"),
        (
            {"kind": "hadamard"},
            "kind is 'hadamard', expected one of 'conv', 'dense', 'identity', '",
        ),
        ({"kind": "dense"}, "the graph is incomplete or malformed: KeyError"),
    ],
)
def test_nodes_that_cannot_be(change, message):
    graph, tensors = residual().to_graph()
    graph["layers"][1]["more"][0] |= change
    with pytest.raises(NetworkError, match=message):
        Network.from_graph(graph, tensors)


def products(**changes: object) -> Network:
    """A gate, whose layer has no weights, and attention."""
    layers = {
        "a": Layer("a", Input(Conv(kernel(4, 2), padding=1)), NEURON),
        "b": Layer("b", Input(Conv(kernel(4, 2), padding=1), "input"), NEURON),
        "small": Layer("small", Input(kernel(2, 4, 8), "b"), NEURON),
        "both": Layer(
            "both",
            (Input(Identity(), "a"), Input(Identity(spread=(2, 8, 8)), "small", -1)),
            LIF(0, 1.5),
        ),
        "c": Layer(
            "c", Input(Attention(heads=2), ("a", Source("b", 2), "both"), 0.0625), LIF(0.5, 0.5)
        ),
    }
    return Network(
        (2, 8, 8), 9, tuple((layers | changes).values()), Readout(random.normal(size=(3, 256)))
    )


def test_layers_without_weights_have_the_channels_of_what_they_read():
    network = products()
    assert network.shapes[-2:] == ((4, 8, 8), (4, 8, 8))
    assert [layer.neuron.bias.shape for layer in network.layers[-2:]] == [(1, 4), (1, 4)]
    assert [line.split() for line in str(network).splitlines()[5:8]] == [
        ["both", "a", "4×8×8", "identity"],
        ["small", "identity,", "spread", "2×8×8"],
        ["c", "a", "·", "b", "(2", "steps)", "·", "both", "4×8×8", "attention,", "2", "heads"],
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            Input(Attention(heads=2), ("a", "small", "b")),
            "layer 'c': multiplies 'a' of 4×8×8 and 'small' of 2×1×1, expecte",
        ),
        (
            Input(Attention(heads=2), ("a", "b", "small")),
            "2×1×1, expected equal shapes, or values of other channels, more",
        ),
        (
            Input(Attention(heads=3), ("a", "b", "both")),
            "layer 'c': 3 heads do not divide the 4 channels of layer '",
        ),
        (
            Input(Attention(heads=2), ("a", "b")),
            "layer 'c': attention has 2 sources, expected q, k and v, or one that has",
        ),
        (
            Input(Attention(heads=2), "a"),
            "layer 'c': layer 'a' has 4 channels, expected those of q, k and v, as many of ea",
        ),
        (
            Input(Attention(heads=2), ("a", "b", Source("both", 1, -1))),
            "layer 'c': attention subtracts 'both', expected sp",
        ),
        (
            Input(Attention(heads=2), ("a", "b", Source("both", (1, 2, 1, 1)))),
            "layer 'c': attention has a delay for each channel of 'both', expected one for all",
        ),
        (
            Input(Identity(), "both", [1, 2]),
            "layer 'c': has constants of 2 channels, its sources have 4",
        ),
    ],
)
def test_products_that_cannot_be(changed: Input, message: str):
    with pytest.raises(NetworkError, match=message):
        products(c=Layer("c", changed, LIF(0.5, 0.5)))


def test_attention_that_could_count_past_24_bits_is_refused():
    one = Layer("a", Input(np.ones((8, 1, 1, 1)), "input"), NEURON)
    attended = Layer("b", Input(Attention(heads=1), ("a", "a", "a")), NEURON)
    with pytest.raises(
        NetworkError,
        match=r"a head of layer 'a' has 8 channels and 1048576 tokens, .* 8,388,608, exp",
    ):
        Network((1, 1024, 1024), 2, (one, attended), Readout(np.ones((1, 8 << 20), np.float32)))


def test_sums_of_many_sources_that_could_overflow_are_refused():
    fixed = quantise(
        Network((1, 1, 1), 9, (Layer("a", np.ones((1, 1)), NEURON),), Readout([[1.0]]))
    ).layers[0]
    wide = Input(np.full((1, 60_000), 127, np.int8), ("b", "c"))
    Layer("a", replace(wide, source="b"), fixed.neuron)
    with pytest.raises(NetworkError, match=r"could pass 2²³"):
        Layer("a", wide, fixed.neuron)


def test_code_for_chains_refuses_a_graph_by_name():
    with pytest.raises(
        NetworkError, match="^layer 'b' reads more than the layer before, expected a chain"
    ):
        residual().check_chain()


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 3), st.data())
def test_a_border_wider_than_the_map_shows_all_of_it(
    side: int, window: int, step: int, data: st.DataObject
) -> None:
    windows = Windows((window, 1), (step, 1), (data.draw(st.integers(0, window // 2)), 0))
    assume(windows.fit((side, 2))[0] > 0)
    values = torch.rand(1, 1, side, 2)
    found = windows.within((side, 2))
    assert torch.equal(
        functional.max_pool2d(values, *found), functional.max_pool2d(values, *windows)
    )
    assert found.padding[0] <= side
