"""The export rule, against hand-computed numbers and the worked reference."""

from __future__ import annotations

import numpy as np
import pytest

from spikesam.backends.network import LIF, FixedLIF, Layer, Network, NetworkError, Readout
from spikesam.backends.network.quantise import quantise
from tests.reference import reference_network


def small(weight: list[list[float]], neuron: LIF) -> Network:
    array = np.array(weight, np.float32)
    return Network((array.shape[1], 1, 1), 3, (Layer("fc1", array, neuron),), Readout(np.ones((2, len(array)))))


def test_reference_numbers(shared):
    network, expected = reference_network(shared)
    fixed = quantise(network)
    for number, layer in enumerate(fixed.layers, 1):
        assert isinstance(layer.neuron, FixedLIF)
        assert np.array_equal(layer.weight, expected[f"layer{number}_fixed_w"])
        assert layer.neuron.decay == expected[f"layer{number}_fixed_decay"]
        assert layer.neuron.shift == expected[f"layer{number}_fixed_shift"]
        assert np.array_equal(layer.neuron.gain, expected[f"layer{number}_fixed_G"])
        assert np.array_equal(layer.neuron.bias, expected[f"layer{number}_fixed_B"])
    assert np.array_equal(fixed.readout.weight, expected["w_out_fixed"])


def test_by_hand():
    # max|W| = 2, so one unit is 2/127; -1 → rint(-63.5) = -64 and 0.5 → rint(31.75) = 32.
    # gain = 0.5 · 2/127 · 4096/2 = 16.1260; 2^10 times that is 16513, 2^11 times it is 33026 > 32767.
    fixed = quantise(small([[2.0, -1.0], [0.5, 0.0]], LIF(leak=0.9, threshold=2.0, gain=0.5, bias=-0.25)))
    layer = fixed.layers[0]
    assert layer.weight.tolist() == [[127, -64], [32, 0]]
    assert layer.neuron.shift == 10
    assert layer.neuron.gain.tolist() == [[16513, 16513]]
    assert layer.neuron.bias.tolist() == [[-512, -512]]
    assert layer.neuron.decay == 410  # rint(409.6)
    assert fixed.readout.scale == pytest.approx(1 / 127)


def test_other_neurons_by_hand():
    neuron = LIF([0.9, 0.5], [2.0, 1.0], 1.0, 0.0, "subtract", [1.0, 0.3], True, [0.25, 0.0], [-1.0, -0.3])
    fixed = quantise(small([[2.0, -1.0], [0.5, 0.0]], neuron)).layers[0].neuron
    assert fixed.decay.tolist() == [410, 2048]
    assert fixed.reset_by.tolist() == [2048, 1229]  # 1.0 · 4096/2 and rint(0.3 · 4096)
    assert fixed.synaptic_decay.tolist() == [3072, 4096]
    assert fixed.min_v_mem.tolist() == [-2048, -1229]
    assert fixed.threshold == 4096
    assert fixed.fires_at_threshold
    # 2/127 · 4096/2 = 32.2520 and 2/127 · 4096 = 64.5039; 2^8 times that is 16513, and 2^9 times is 33026 > 32767.
    assert (fixed.shift, fixed.gain.tolist()) == (8, [[8257, 16513]])


def test_maximum_pooling_sums_nothing():
    layer = Layer("fc1", np.float32([[1.0]]), LIF(1.0), pool=2, pooling="max")
    fixed = quantise(Network((1, 2, 2), 3, (layer,), Readout(np.ones((2, 1)))))
    assert (fixed.layers[0].neuron.shift, fixed.layers[0].neuron.gain.item()) == (9, 16513)  # 1/127 · 4096 · 2⁹
    assert fixed.layers[0].largest_current == 127


def test_a_leaky_readout_by_hand():
    readout = Readout([[0.5, -1.0]], leak=0.3, bias=0.25)
    network = Network((2, 1, 1), 3, (Layer("fc1", np.eye(2), LIF(1.0)),), readout)
    fixed = quantise(network).readout
    assert fixed.leak == 1229 / 4096  # 1 - rint(4096 · 0.7) / 4096
    assert fixed.bias.tolist() == [[32]]  # rint(0.25 · 127)
    assert fixed.bias.dtype == np.int32


def test_constant_current_by_hand():
    # As above, but a 1 in the input of the first layer is worth 1/127, so 2^17 · 0.126976 = 16643 and 2^18 is too much.
    # The second layer is not concerned: gain = 1/127 · 4096 = 32.2520, and 2^9 times that is 16513.
    first = Layer("fc1", np.float32([[2.0, -1.0], [0.5, 0.0]]), LIF(leak=0.9, threshold=2.0, gain=0.5))
    second = Layer("fc2", np.float32([[1.0, -1.0]]), LIF(leak=1.0))
    fixed = quantise(Network((2, 1, 1), 3, (first, second), Readout(np.ones((2, 1))), "constant-current"))
    assert fixed.encoder == "constant-current"
    assert [(layer.neuron.shift, layer.neuron.gain[0, 0]) for layer in fixed.layers] == [(17, 16643), (9, 16513)]


@pytest.mark.parametrize(("pool", "inputs"), [(1, 521), (2, 131)])
def test_constant_currents_that_could_overflow_are_refused(pool, inputs):
    # 127 · 127 · 520 = 8,387,080 is the last multiple below 2²³ = 8,388,608; pooling 2 counts four times.
    def network(channels: int, encoder: str) -> Network:
        layer = Layer("fc1", np.ones((1, channels), np.float32), LIF(leak=1.0), pool=pool)
        return Network((channels, pool, pool), 1, (layer,), Readout(np.ones((2, 1))), encoder)

    assert quantise(network(inputs - 1, "constant-current")).precision == "fixed"
    assert quantise(network(inputs, "poisson")).precision == "fixed"
    with pytest.raises(NetworkError, match=r"layer 'fc1': .* sum to 66,.* which a current .* could take past 2²³"):
        quantise(network(inputs, "constant-current"))


def test_all_zero_weights_stay_zero():
    fixed = quantise(small([[0.0, 0.0]], LIF(leak=1.0)))
    assert not fixed.layers[0].weight.any()
    assert fixed.layers[0].neuron.gain.tolist() == [[0]]
    assert fixed.layers[0].neuron.shift == 30


def test_quantising_twice_changes_nothing():
    fixed = quantise(small([[1.0, -0.3]], LIF(leak=0.9)))
    assert quantise(fixed) is fixed


def test_weights_many_times_the_threshold_get_a_lower_one():
    # A unit of weight is 1200/127 thresholds: 1200·4096/127 = 38702.4 is too much; with half of it, 19351.2 is not.
    neuron = quantise(small([[1200.0, -600.0]], LIF(leak=0.5, bias=0.25, reset_by=0.5))).layers[0].neuron
    assert (neuron.threshold, neuron.gain.tolist(), neuron.shift) == (2048, [[19351]], 0)
    assert (neuron.bias.tolist(), neuron.reset_by, neuron.decay) == ([[512]], 1024, 2048)


def test_a_gain_too_large_is_refused():
    with pytest.raises(NetworkError, match="layer 'fc1': gain .* exceeds 32767"):
        quantise(small([[1.0, 1.0]], LIF(leak=0.9, threshold=1e-6)))


def test_sums_that_could_overflow_are_refused():
    weight = np.ones((1, 70_000), np.float32)
    network = Network((70_000, 1, 1), 1, (Layer("fc1", weight, LIF(leak=1.0)),), Readout(np.ones((2, 1))))
    with pytest.raises(NetworkError, match=r"layer 'fc1': .* sum to 8,890,000 in magnitude, which could pass 2²³"):
        quantise(network)
