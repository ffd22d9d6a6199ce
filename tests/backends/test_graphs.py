"""Networks whose layers read several others: every backend equals the equations, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import LIF, Encoder, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from tests.backends.graphs import FIXED, FLOAT, Numbers, graphs
from tests.backends.test_contract import BACKENDS as CONTRACTED
from tests.backends.test_contract import check, simulate

BACKENDS = pytest.mark.parametrize("backend", ["torch", "event"])


def some_spikes(network: Network) -> NDArray[np.bool_]:
    rng = np.random.default_rng(1)
    shape = (network.timesteps, *network.input_shape)
    return np.stack([rng.random(shape) < density for density in (0.1, 0.5, 0.9)], axis=1)


@BACKENDS
@given(network=graphs())
@settings(max_examples=30)
def test_any_graph_in_fixed_point(backend: str, network: Network) -> None:
    check(backend, network, some_spikes(network), (2, 1))


@BACKENDS
@given(network=graphs(FLOAT))
@settings(max_examples=20)
def test_any_graph_in_float32(backend: str, network: Network) -> None:
    """Of numbers whose sums float32 holds, so that no order of additions matters."""
    check(backend, network, some_spikes(network), (2, 1))


def some_numbers(network: Network) -> NDArray[np.int8]:
    """Three samples of maps, of each step or of all; from -3 to 3, so that sums of them are exact
    in float32.
    """
    steps = () if network.encoder == "constant-current" else (network.timesteps,)
    return np.random.default_rng(1).integers(-3, 4, (*steps, 3, *network.input_shape), np.int8)


@BACKENDS
@pytest.mark.parametrize("encoder", ["constant-current", "changing-current"])
@pytest.mark.parametrize("numbers", [FIXED, FLOAT], ids=["fixed", "float32"])
@given(data=st.data())
@settings(max_examples=12)
def test_numbers_that_drive_any_layers(
    backend: str, encoder: Encoder, numbers: Numbers, data: st.DataObject
) -> None:
    network = data.draw(graphs(numbers, encoder))
    check(backend, network, some_numbers(network), (2, 1))


@BACKENDS
@pytest.mark.parametrize("precision", ["float32", "fixed"])
def test_a_memory_of_one_bit_worked_by_hand(backend: str, precision: str) -> None:
    """`hold` fires from when `seen` tells it to until the input, four steps late, subtracts; `both`
    needs two spikes.

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
    """`met` fires where three channels meet, 3, 1 and 2 steps late; of `ring` one neuron waits 1
    step, the other 2.

    t                         0   1   2   3   4   5   6   7
    input[0], 3 steps late    1   0   0   0   0   1   0   0
    input[1], 1 step late     0   0   1   0   0   1   0   0
    input[2], 2 steps late    0   1   0   0   0   1   0   0
    what arrives              0   0   0   3   0   0   1   1
    met = that > 2.5          0   0   0   1   0   0   0   0
    ring[0] = met[t-1] or ring[0][t-1]    1   1   1   1
    ring[1] = met[t-1] or ring[1][t-2]    1   0   1   0
    """
    met = Layer(
        "met",
        Input(np.ones((1, 3), np.float32), Source("input", (3, 1, 2))),
        LIF(0.0, 2.5, reset="zero"),
    )
    ring = Layer(
        "ring",
        (
            Input(np.ones((2, 1), np.float32), "met"),
            Input(np.eye(2, dtype=np.float32), Source("ring", (1, 2))),
        ),
        LIF(0.0, 0.5, reset="zero"),
    )
    network = Network((3, 1, 1), 8, (met, ring), Readout(np.ones((1, 2), np.float32)), "spikes")
    network = quantise(network) if precision == "fixed" else network
    spikes = np.zeros((8, 1, 3, 1, 1), np.bool_)
    spikes[(0, 2, 1, 5, 5, 5), 0, (0, 1, 2, 0, 1, 2)] = True
    (_, met_fired, ring_fired), readout = simulate(backend, network, spikes, (1,))
    assert met_fired.ravel().nonzero()[0].tolist() == [3]
    assert [ring_fired[:, 0, channel].ravel().nonzero()[0].tolist() for channel in (0, 1)] == [
        [4, 5, 6, 7],
        [4, 6],
    ]
    assert readout.ravel().tolist() == [6 * network.readout.weight[0, 0].item()]
