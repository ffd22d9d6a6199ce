"""The export rule, against hand-computed numbers and the worked reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import spikesam
from spikesam.backends.network import (
    LIF,
    Attention,
    Dense,
    FixedLIF,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Source,
)
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.networks.checkpoint_files import bundled_names
from tests.reference import reference_network

OFF_GRID = 1e-4  # a bias that rounds to 0, but is no multiple of weights


def small(weight: list[list[float]], neuron: LIF, gain: float = 1) -> Network:
    array = np.array(weight, np.float32)
    layer = Layer("fc1", Input(array, gain=gain), neuron)
    return Network((array.shape[1], 1, 1), 3, (layer,), Readout(np.ones((2, len(array)))))


def test_reference_numbers(shared):
    network, expected = reference_network(shared)
    fixed = quantise(network)
    for number, layer in enumerate(fixed.layers, 1):
        assert isinstance(layer.neuron, FixedLIF)
        assert np.array_equal(layer.inputs[0].weight, expected[f"layer{number}_fixed_w"])
        assert layer.neuron.decay == expected[f"layer{number}_fixed_decay"]
        assert layer.inputs[0].shift == expected[f"layer{number}_fixed_shift"]
        assert np.array_equal(layer.inputs[0].gain, expected[f"layer{number}_fixed_G"])
        assert np.array_equal(layer.neuron.bias, expected[f"layer{number}_fixed_B"])
    assert np.array_equal(fixed.readout.weight, expected["w_out_fixed"])


def test_by_hand():
    # max|W| = 2, so one unit is 2/127; -1 → rint(-63.5) = -64 and 0.5 → rint(31.75) = 32.
    # gain = 0.5 · 2/127 · 4096/2 = 16.1260; 2^10 times that is 16513, 2^11 times it is 33026 >
    # 32767.
    fixed = quantise(
        small([[2.0, -1.0], [0.5, 0.0]], LIF(leak=0.9, threshold=2.0, bias=-0.2501), gain=0.5)
    )
    layer = fixed.layers[0]
    assert layer.inputs[0].weight.tolist() == [[127, -64], [32, 0]]
    assert layer.inputs[0].shift == 10
    assert layer.inputs[0].gain.tolist() == [[16513, 16513]]
    assert layer.neuron.bias.tolist() == [[-512, -512]]
    assert layer.neuron.decay == 410  # rint(409.6)
    assert fixed.readout.scale == pytest.approx(1 / 127)


def test_other_neurons_by_hand():
    resets = {
        "reset": "subtract",
        "reset_by": [1.0, 0.3],
        "fires_at_threshold": True,
        "min_v_mem": [-1.0, -0.3],
    }
    neuron = LIF([0.9, 0.5], [2.0, 1.0], bias=OFF_GRID, synaptic_leak=[0.25, 0.0], **resets)
    layer = quantise(small([[2.0, -1.0], [0.5, 0.0]], neuron)).layers[0]
    fixed = layer.neuron
    assert fixed.decay.tolist() == [410, 2048]
    assert fixed.reset_by.tolist() == [2048, 1229]  # 1.0 · 4096/2 and rint(0.3 · 4096)
    assert fixed.synaptic_decay.tolist() == [3072, 4096]
    assert fixed.min_v_mem.tolist() == [-2048, -1229]
    assert fixed.threshold == 4096
    assert fixed.fires_at_threshold
    # 2/127 · 4096/2 = 32.2520 and 2/127 · 4096 = 64.5039; 2^8 times that is 16513, and 2^9 times is
    # 33026 > 32767.
    assert (layer.inputs[0].shift, layer.inputs[0].gain.tolist()) == (8, [[8257, 16513]])


def test_an_exact_grid_by_hand():
    # u = 1/4: weights 2, -1, 4 of them, a threshold of 6 and a bias of 3, so Θ = 6·2⁹ = 3072 and
    # gain = 2⁹ = 2¹⁴ >> 5.
    layer = quantise(small([[0.5, -0.25, 1.0]], LIF(1.0, 1.5, bias=0.75))).layers[0]
    assert layer.inputs[0].weight.tolist() == [[2, -1, 4]]
    assert (layer.neuron.threshold, layer.neuron.bias.tolist()) == (3072, [[1536]])
    assert (layer.inputs[0].gain.tolist(), layer.inputs[0].shift) == ([[1 << 14]], 5)


def test_a_grid_finer_than_the_weights():
    # Without a reset to zero, membranes are sums of weights and thresholds: multiples of 1/4, not
    # of 1.
    layer = quantise(small([[1.0, -1.0]], LIF(1.0, 0.75))).layers[0]
    assert (layer.inputs[0].weight.tolist(), layer.neuron.threshold) == ([[4, -4]], 3072)
    # With it no sum can meet 3/4, and nothing must be exact.
    layer = quantise(small([[1.0, -1.0]], LIF(1.0, 0.75, reset="zero"))).layers[0]
    assert (layer.inputs[0].weight.tolist(), layer.neuron.threshold) == ([[127, -127]], 4096)


@settings(max_examples=40, deadline=None)
@given(
    weights=arrays(np.int64, (3, 4), elements=st.integers(-5, 5)),
    recurrent=st.integers(-2, 2),
    theta=st.integers(1, 9),
    bias=st.integers(-1, 2),
    reset=st.sampled_from(["subtract", "zero"]),
    at_threshold=st.booleans(),
    seed=st.integers(0, 99),
)
def test_on_a_grid_fixed_point_fires_the_bits_of_float32(
    weights, recurrent, theta, bias, reset, at_threshold, seed
):
    unit = 1 / 8  # so that no sum is rounded in float32, either
    neuron = LIF(1.0, theta * unit, bias=bias * unit, reset=reset, fires_at_threshold=at_threshold)
    itself = Input(Identity(), Source("fc1"), recurrent * unit)
    layer = Layer("fc1", (Input(np.float32(weights * unit), "input"), itself), neuron)
    spikes = np.random.default_rng(seed).random((12, 2, 4, 1, 1)) < 0.5
    network = Network((4, 1, 1), 12, (layer,), Readout(np.ones((2, 3))), "spikes")
    rasters = [
        spikesam.simulate(network, spikes, backend="torch", precision=each)
        for each in ("float32", "fixed")
    ]
    assert rasters[0].raster_digest == rasters[1].raster_digest


@pytest.mark.parametrize(
    ("inputs", "neuron", "gains"),
    [
        # Spikformer's scale, halved by a LIF of τ = 2 that fires at 1/2: 0.125 / 2 / 0.5 · 4096
        (
            (Input(Attention(heads=1), ("a", "a", "a"), 0.125 / 2),),
            LIF(0.5, 0.5, fires_at_threshold=True),
            [512],
        ),
        # (NOT a) AND b; AND has no sum that meets 1.5, so that a rounded gain, of 2730.67, is as
        # good
        (
            (Input(Identity(), "a", -1), Input(Identity(), "a")),
            LIF(0, 0.5, reset="zero"),
            [-8192, 8192],
        ),
        (
            (Input(Identity(), "a"), Input(Identity(), "a")),
            LIF(0, 1.5, reset="zero"),
            [21845 / 8, 21845 / 8],
        ),
        # the mean of 2 × 2 spikes, which meets 1/2, and their sum, which meets 2
        (
            (Input(Dense(np.float32([[1.0]]), pool=2), "a"),),
            LIF(0.5, 0.5, fires_at_threshold=True),
            [2048],
        ),
        (
            (Input(Dense(np.float32([[1.0]]), pool=2, pooling="sum"), "a"),),
            LIF(0.5, 2, fires_at_threshold=True),
            [2048],
        ),
    ],
)
def test_gates_and_attention_in_fixed_point_by_hand(inputs, neuron, gains):
    first = Layer("a", np.ones((1, 1, 1, 1)), LIF(0, 0.5))
    readout = Readout(np.ones((2, 4 // inputs[0].synapse.summed)))
    found = quantise(Network((1, 2, 2), 9, (first, Layer("b", inputs, neuron)), readout)).layers[1]
    assert [each.gain.item() / 2**each.shift for each in found.inputs] == gains
    assert found.neuron.threshold == 4096


@pytest.mark.parametrize("name", bundled_names("snn"))
def test_bundled_networks_are_on_no_grid(name):
    real = spikesam.load(name).network
    for before, after in zip(real.layers, quantise(real).layers, strict=True):
        assert after.neuron.threshold == 4096
        if not before.inputs[0].synapse.channels:
            assert (
                after.inputs[0].gain[0, 0] / 2 ** after.inputs[0].shift
                == 4096 * before.inputs[0].gain[0, 0]
            )
            continue
        weight = before.inputs[0].weight.astype(np.float64)
        assert np.array_equal(after.inputs[0].weight, np.rint(127 * weight / np.abs(weight).max()))


def test_maximum_pooling_sums_nothing():
    layer = Layer("fc1", Dense(np.float32([[1.0]]), pool=2, pooling="max"), LIF(1.0, bias=OFF_GRID))
    fixed = quantise(Network((1, 2, 2), 3, (layer,), Readout(np.ones((2, 1)))))
    assert (fixed.layers[0].inputs[0].shift, fixed.layers[0].inputs[0].gain.item()) == (
        9,
        16513,
    )  # 1/127 · 4096 · 2⁹
    assert fixed.layers[0].inputs[0].largest_current == 127


def test_a_readout_keeps_its_scale_and_a_bias_alone():
    layer = Layer("fc1", np.eye(2), LIF(1.0))
    scaled, alone = (
        quantise(Network((2, 1, 1), 3, (layer,), readout)).readout
        for readout in (
            Readout([[2.0, -1.0]], scale=2.5),
            Readout(np.zeros((3, 2)), bias=[0.1, 0.2, -0.4]),
        )
    )
    assert scaled.weight.tolist() == [[127, -64]] and scaled.scale == pytest.approx(2.5 * 2 / 127)
    assert (alone.scale * alone.bias).ravel() == pytest.approx([0.1, 0.2, -0.4], abs=1e-4)


def test_a_leaky_readout_by_hand():
    readout = Readout([[0.5, -1.0]], leak=0.3, bias=0.25)
    network = Network((2, 1, 1), 3, (Layer("fc1", np.eye(2), LIF(1.0)),), readout)
    fixed = quantise(network).readout
    assert fixed.leak == 1229 / 4096  # 1 - rint(4096 · 0.7) / 4096
    assert fixed.bias.tolist() == [[32]]  # rint(0.25 · 127)
    assert fixed.bias.dtype == np.int32


def test_constant_current_by_hand():
    # As above, but a 1 in the input of the first layer is worth 1/127, so 2^17 · 0.126976 = 16643
    # and 2^18 is too much. The second layer is not concerned: gain = 1/127 · 4096 = 32.2520, and
    # 2^9 times that is 16513.
    given = Input(np.float32([[2.0, -1.0], [0.5, 0.0]]), gain=0.5)
    first = Layer("fc1", given, LIF(leak=0.9, threshold=2.0, bias=OFF_GRID))
    second = Layer("fc2", np.float32([[1.0, -1.0]]), LIF(leak=1.0, bias=OFF_GRID))
    fixed = quantise(
        Network((2, 1, 1), 3, (first, second), Readout(np.ones((2, 1))), "constant-current")
    )
    assert fixed.encoder == "constant-current"
    assert [(layer.inputs[0].shift, layer.inputs[0].gain[0, 0]) for layer in fixed.layers] == [
        (17, 16643),
        (9, 16513),
    ]


@pytest.mark.parametrize(("pool", "inputs"), [(1, 521), (2, 131)])
def test_constant_currents_that_could_overflow_are_refused(pool, inputs):
    # 127 · 127 · 520 = 8,387,080 is the last multiple below 2²³ = 8,388,608; pooling 2 counts four
    # times.
    def network(channels: int, encoder: str) -> Network:
        layer = Layer(
            "fc1",
            Dense(np.ones((1, channels), np.float32), pool=pool),
            LIF(leak=1.0, bias=OFF_GRID),
        )
        return Network((channels, pool, pool), 1, (layer,), Readout(np.ones((2, 1))), encoder)

    assert quantise(network(inputs - 1, "constant-current")).precision == "fixed"
    assert quantise(network(inputs, "poisson")).precision == "fixed"
    with pytest.raises(
        NetworkError, match=r"layer 'fc1': .* sum to 66,.* which a current .* could take past 2²³"
    ):
        quantise(network(inputs, "constant-current"))


def test_all_zero_weights_stay_zero():
    fixed = quantise(small([[0.0, 0.0]], LIF(leak=1.0)))
    assert not fixed.layers[0].inputs[0].weight.any()
    assert fixed.layers[0].inputs[0].gain.tolist() == [[0]]
    assert fixed.layers[0].inputs[0].shift == 30
    assert quantise(fixed) is fixed


def test_weights_many_times_the_threshold_get_a_lower_one():
    # A unit of weight is 1200/127 thresholds: 1200·4096/127 = 38702.4 is too much; with half of it,
    # 19351.2 is not.
    layer = quantise(small([[1200.0, -600.0]], LIF(leak=0.5, bias=0.25, reset_by=0.5))).layers[0]
    neuron, (given,) = layer.neuron, layer.inputs
    assert (neuron.threshold, given.gain.tolist(), given.shift) == (2048, [[19351]], 0)
    assert (neuron.bias.tolist(), neuron.reset_by, neuron.decay) == ([[512]], 1024, 2048)


def test_a_gain_too_large_is_refused():
    with pytest.raises(NetworkError, match="layer 'fc1': gain .* exceeds 32767"):
        quantise(small([[1.0, 1.0]], LIF(leak=0.9, threshold=1e-6)))


def test_sums_that_could_overflow_are_refused():
    layer = Layer("fc1", np.ones((1, 70_000), np.float32), LIF(leak=1.0, bias=OFF_GRID))
    network = Network((70_000, 1, 1), 1, (layer,), Readout(np.ones((2, 1))))
    with pytest.raises(
        NetworkError, match=r"layer 'fc1': .* sum to 8,890,000 in magnitude, which could pass 2²³"
    ):
        quantise(network)
