"""Networks whose layers read several others: every backend equals the equations, to the bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import LIF, Encoder, FixedLIF, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from tests.backends.graphs import FIXED, FLOAT, Numbers, graphs, quarters
from tests.backends.test_contract import BACKENDS as CONTRACTED
from tests.backends.test_contract import assert_same, samples, simulate
from tests.reference import simulate_reference

GRAPH_BACKENDS = ("torch", "event")

BACKENDS = pytest.mark.parametrize("backend", GRAPH_BACKENDS)


def check(backend: str, network: Network, inputs: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Run three samples or more; what the equations give, which is what the backend gave."""
    expected, expected_readout = simulate_reference(network, inputs)
    found, readout = simulate(backend, network, inputs, (2, inputs.shape[-4] - 2))
    assert_same(network, found, expected)
    assert np.array_equal(readout, expected_readout)
    return expected


def some_spikes(network: Network) -> NDArray[np.bool_]:
    rng = np.random.default_rng(1)
    shape = (network.timesteps, *network.input_shape)
    return np.stack([rng.random(shape) < density for density in (0.1, 0.5, 0.9)], axis=1)


@BACKENDS
@given(network=graphs())
@settings(max_examples=30)
def test_any_graph_in_fixed_point(backend: str, network: Network) -> None:
    check(backend, network, some_spikes(network))


@BACKENDS
@given(network=graphs(FLOAT))
@settings(max_examples=20)
def test_any_graph_in_float32(backend: str, network: Network) -> None:
    """Of numbers whose sums float32 holds, so that no order of additions matters."""
    check(backend, network, some_spikes(network))


def some_numbers(network: Network) -> NDArray[np.int8]:
    """Three samples of maps, of each step or of all; from -3 to 3, so that sums of them are exact in float32."""
    steps = () if network.encoder == "constant-current" else (network.timesteps,)
    return np.random.default_rng(1).integers(-3, 4, (*steps, 3, *network.input_shape), np.int8)


@BACKENDS
@pytest.mark.parametrize("encoder", ["constant-current", "changing-current"])
@pytest.mark.parametrize("numbers", [FIXED, FLOAT], ids=["fixed", "float32"])
@given(data=st.data())
@settings(max_examples=12)
def test_numbers_that_drive_any_layers(backend: str, encoder: Encoder, numbers: Numbers, data: st.DataObject) -> None:
    network = data.draw(graphs(numbers, encoder))
    check(backend, network, some_numbers(network))


@BACKENDS
@pytest.mark.parametrize("precision", ["float32", "fixed"])
def test_a_memory_of_one_bit_worked_by_hand(backend: str, precision: str) -> None:
    """`hold` fires from when `seen` tells it to until the input, four steps late, subtracts; `both` needs two spikes.

    t                             0   1   2   3   4   5   6   7   8
    input                         1   1   1   0   1   0   0   0   0
    seen[t]  = input[t-1]         0   1   1   1   0   1   0   0   0
    seen[t-2]                                 1   1   1   0   1   0
    input[t-4]                                    1   1   1   0   1
    their difference                          1   0   0  -1   1  -1
    hold[t-1]                                 0   1   1   1   0   1
    v_hold: both are added,                   1   1   1   0   1   0
      1 is subtracted after a spike
    hold[t]  = v_hold > 0.5       0   0   0   1   1   1   0   1   0
    hold[t-1] + seen[t-2]                     1   2   2   1   1   1
    both[t]  = that > 1.5         0   0   0   0   1   1   0   0   0
    """
    one = np.ones((1, 1), np.float32)
    layers = (
        Layer("seen", one, LIF(0.0, 0.5, reset="zero")),
        Layer(
            "hold",
            (Input(one, (Source("seen", 2), Source("input", 4, sign=-1))), Input(one, "hold")),
            LIF(1.0, 0.5, reset_by=1.0),
        ),
        Layer("both", Input(one, ("hold", Source("seen", 2))), LIF(0.0, 1.5, reset="zero")),
    )
    network = Network((1, 1, 1), 9, layers, Readout(one), "spikes")
    network = quantise(network) if precision == "fixed" else network
    spikes = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0], np.bool_).reshape(9, 1, 1, 1, 1)
    rasters, readout = simulate(backend, network, spikes, (1,))
    fired = (raster.ravel().astype(int).tolist() for raster in rasters)
    assert dict(zip(network.raster_names, fired, strict=True)) == {
        "input": [1, 1, 1, 0, 1, 0, 0, 0, 0],
        "seen": [0, 1, 1, 1, 0, 1, 0, 0, 0],
        "hold": [0, 0, 0, 1, 1, 1, 0, 1, 0],
        "both": [0, 0, 0, 0, 1, 1, 0, 0, 0],
    }
    assert readout.ravel().tolist() == [2 * network.readout.weight.item()]


@pytest.mark.parametrize("backend", CONTRACTED)
@pytest.mark.parametrize("precision", ["float32", "fixed"])
def test_channels_of_delays_of_their_own_worked_by_hand(backend: str, precision: str) -> None:
    """`met` fires where three channels meet, 3, 1 and 2 steps late; of `ring` one neuron waits 1 step, the other 2.

    t                         0   1   2   3   4   5   6   7
    input[0], 3 steps late    1   0   0   0   0   1   0   0
    input[1], 1 step late     0   0   1   0   0   1   0   0
    input[2], 2 steps late    0   1   0   0   0   1   0   0
    what arrives              0   0   0   3   0   0   1   1
    met = that > 2.5          0   0   0   1   0   0   0   0
    ring[0] = met[t-1] or ring[0][t-1]    1   1   1   1
    ring[1] = met[t-1] or ring[1][t-2]    1   0   1   0
    """
    met = Layer("met", Input(np.ones((1, 3), np.float32), Source("input", (3, 1, 2))), LIF(0.0, 2.5, reset="zero"))
    ring = Layer(
        "ring",
        (Input(np.ones((2, 1), np.float32), "met"), Input(np.eye(2, dtype=np.float32), Source("ring", (1, 2)))),
        LIF(0.0, 0.5, reset="zero"),
    )
    network = Network((3, 1, 1), 8, (met, ring), Readout(np.ones((1, 2), np.float32)), "spikes")
    network = quantise(network) if precision == "fixed" else network
    spikes = np.zeros((8, 1, 3, 1, 1), np.bool_)
    spikes[(0, 2, 1, 5, 5, 5), 0, (0, 1, 2, 0, 1, 2)] = True
    (_, met_fired, ring_fired), readout = simulate(backend, network, spikes, (1,))
    assert met_fired.ravel().nonzero()[0].tolist() == [3]
    assert [ring_fired[:, 0, channel].ravel().nonzero()[0].tolist() for channel in (0, 1)] == [[4, 5, 6, 7], [4, 6]]
    assert readout.ravel().tolist() == [6 * network.readout.weight[0, 0].item()]


@BACKENDS
@pytest.mark.parametrize("precision", ["float32", "fixed"])
@given(delays=st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=3), min_size=2, max_size=2), data=st.data())
@settings(max_examples=15)
def test_channels_of_delays_of_their_own_are_a_source_each(
    backend: str, precision: str, delays: list[list[int]], data: st.DataObject
) -> None:
    """Three channels of `a`, and of `b` itself, beside three inputs of the channels one by one."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    numbers = FLOAT if precision == "float32" else FIXED
    forward, back = numbers.weights(rng, 3, 3, 3, 3), numbers.weights(rng, 3, 3, 1, 1)
    first = Layer("a", Input(numbers.weights(rng, 3, 2, 3, 3), padding=1), numbers.neurons(rng, 3))
    neurons = numbers.neurons(rng, 3)

    def of(weight: NDArray[Any], name: str, each: list[int], **about: Any) -> list[list[Input]]:
        one = [Input(weight, Source(name, tuple(each)), **about)]
        alone = [weight * (np.arange(3) == channel).astype(weight.dtype)[:, None, None] for channel in range(3)]
        return [one, [Input(own, Source(name, steps), **about) for own, steps in zip(alone, each, strict=True)]]

    ways = zip(of(forward, "a", delays[0], padding=1), of(back, "b", delays[1]), strict=True)
    readout = Readout(numbers.weights(rng, 2, 3 * 4 * 5))
    networks = [Network((2, 4, 5), 9, (first, Layer("b", [*a, *b], neurons)), readout) for a, b in ways]
    (found, sums), (expected, same) = (simulate(backend, each, some_spikes(each), (3,)) for each in networks)
    assert_same(networks[0], found, expected)
    assert np.array_equal(sums, same)


@BACKENDS
def test_a_concatenation_is_a_weight_that_is_split(backend: str) -> None:
    rng = np.random.default_rng(2)
    gain, bias = rng.integers(1, 12, (10, 6), np.int32), rng.integers(0, 2000, (10, 6), np.int32)
    neuron = FixedLIF(400, bias=bias)
    before, after = (rng.integers(-100, 128, shape).astype(np.int8) for shape in ((8, 2, 3, 3), (6, 8, 3, 3)))
    early = FixedLIF(41)
    readout = Readout(np.ones((2, 6 * 5 * 4), np.int8))
    joined = (
        Layer("ab", Input(before, gain=9, padding=1), early),
        Layer("c", Input(after, gain=gain, padding=1), neuron),
    )
    split = (
        Layer("a", Input(before[:3], gain=9, padding=1), early),
        Layer("b", Input(before[3:], "input", 9, padding=1), early),
        Layer("c", (Input(after[:, :3], "a", gain, padding=1), Input(after[:, 3:], "b", gain, padding=1)), neuron),
    )
    networks = [Network((2, 5, 4), 10, layers, readout) for layers in (joined, split)]
    (_, ab, c), (_, a, b, of_both) = (simulate(backend, each, some_spikes(each), (3,))[0] for each in networks)
    assert np.array_equal(np.concatenate([a, b], axis=2), ab)
    assert 0 < c.mean() < 1
    assert np.array_equal(of_both, c)


def limits() -> Network:
    """Two spikes at a place, currents of up to 2²³, gains of ±32767, sums and membranes that saturate."""
    rng = np.random.default_rng(3)
    signs = rng.choice((-1, 1), (6, 32 * 16 * 16)).astype(np.int8)
    signs[0], signs[1] = 1, -1
    gain = np.array([[32767, -32767, 1, -1, 32767, 3]], np.int32)
    bias = np.array([[0, 1 << 30, 4096, -4096, 5, -(1 << 30)]], np.int32)
    again = Input(127 * signs[::-1], ("input", Source("input", 3, -1)), gain[:, ::-1], pool=2)
    layers = (
        Layer(
            "fc1", (Input(127 * signs, ("input", Source("input", 2)), gain=gain, pool=2), again), FixedLIF(1, bias=bias)
        ),
        Layer(
            "fc2",
            (Input(127 * signs[:4, :6], gain=gain[:, :4], shift=2), Input(None, "fc2", -gain[:, :4])),
            FixedLIF(0, bias=bias[:, :4] >> 17),
        ),
    )
    return Network((32, 32, 32), 6, layers, Readout(127 * signs[:2, :4]))


def constant_current() -> Network:
    """A constant current, into a layer that reads itself and the last one; one in between is passed by."""
    rng = np.random.default_rng(4)
    layers = (
        Layer(
            "conv1",
            (
                Input(quarters(rng, 4, 1, 3, 3), padding=1),
                Input(quarters(rng, 4, 4, 1, 1), "conv1", gain=-1),
                Input(None, Source("conv3", 2), gain=[1, 0, 1, 2]),
            ),
            LIF(0.5),
        ),
        Layer("conv2", Input(quarters(rng, 4, 4, 3, 3), padding=1), LIF(0.5)),
        Layer("conv3", Input(quarters(rng, 4, 4, 3, 3), ("conv2", Source("conv1", 3)), padding=1), LIF(0.5)),
    )
    return quantise(Network((1, 4, 6), 9, layers, Readout(quarters(rng, 3, 96)), "constant-current"))


@pytest.mark.parametrize("backend", [*GRAPH_BACKENDS, "lava-stock"])
def test_the_largest_sums(backend: str) -> None:
    network = limits()
    assert network.layers[0].inputs[0].largest_current == 8_323_072
    rng = np.random.default_rng(5)
    shape = (network.timesteps, *network.input_shape)
    rasters = check(backend, network, np.stack([rng.random(shape) < density for density in (1, 0.97, 0.5)], axis=1))
    assert all(0 < raster.mean() < 1 for raster in rasters)


@BACKENDS
def test_a_constant_current_into_a_loop(backend: str) -> None:
    network = constant_current()
    rasters = check(backend, network, samples(np.random.default_rng(6), network))
    assert all(0 < raster.mean() < 1 for raster in rasters)
