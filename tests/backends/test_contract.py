"""What every backend owes: the same bits as the equations, for every shape a network may take."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesam.backends.base import BackendError
from spikesam.backends.network import (
    LIF,
    Conv,
    Dense,
    Encoder,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Source,
)
from spikesam.backends.network.consistency import FLOAT_LIMIT
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.raster.batch import PackedSpikes
from tests.backends.equations import BACKENDS, check, make_backend, simulate
from tests.backends.graphs import DENSITIES, FIXED, FLOAT, Numbers, graphs, some_inputs
from tests.backends.networks import (
    NETWORKS,
    changing_maps,
    constant_odd,
    multiplied,
    odd_sizes,
    overlaps,
    rectangles,
    resets,
    samples,
)
from tests.reference import reference_network, simulate_reference

NOT_STOCK = ("odd_sizes", "one_step", "constant_limits")  # nothing new to them
STOCK = [name for name in NETWORKS if name not in NOT_STOCK]
RUNS = [
    (name, network)
    for name in BACKENDS
    for network in (STOCK if name.endswith("stock") else NETWORKS)
]


@pytest.mark.parametrize(("name", "network_name"), RUNS)
def test_fixed_point_is_the_equations_to_the_bit(name: str, network_name: str) -> None:
    rng = np.random.default_rng(list(NETWORKS).index(network_name))
    network = quantise(NETWORKS[network_name](rng))
    rasters = check(name, network, samples(rng, network), (2, 2, 1, 1))
    for raster in rasters:  # every sample starts from rest, whatever came before
        assert np.array_equal(raster[:, 0], raster[:, 2])
        assert np.array_equal(raster[:, 0], raster[:, 5])
    if network.timesteps > len(network.layers):
        assert all(0 < raster.mean() < 1 for raster in rasters), (
            "a layer that never or always spikes tests nothing"
        )


EXAMPLES = {
    "event": (80, 15),
    "torch": (80, 15),
    "processes": (20, 5),
    "processes-stock": (4, 2),
    "lava": (3, 1),
    "lava-stock": (3, 1),
}
ENCODERS: tuple[Encoder, ...] = ("spikes", "constant-current", "changing-current")


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("numbers", [FIXED, FLOAT], ids=["fixed", "float32"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_network_is_the_equations_to_the_bit(
    backend: str, numbers: Numbers, encoder: Encoder
) -> None:
    """In float32, of numbers whose sums it holds, so that no order of additions matters."""
    many, few = EXAMPLES[backend]

    @given(graphs(numbers, encoder, fewest_steps=1), st.integers(0, 2**32))
    @settings(max_examples=many if numbers is FIXED and encoder == "spikes" else few)
    def is_the_equations(network: Network, seed: int) -> None:
        densities = np.random.default_rng(seed).choice(DENSITIES, 3)
        check(backend, network, some_inputs(network, seed, densities), (2, 1))

    is_the_equations()


@pytest.mark.long
def test_these_networks_are_worth_it() -> None:
    """Of a hundred, enough have layers that fire now and then, steps at which most neurons do, and
    something of everything.
    """
    networks: Counter[Any] = Counter()

    @given(graphs())
    @settings(max_examples=100)
    def look_at(network: Network) -> None:
        rasters, _ = simulate_reference(network, some_inputs(network, densities=(0.5,)))
        rates = [raster.mean(axis=(1, 2, 3, 4)) for raster in rasters[1:]]
        inputs = [layer_input for layer in network.layers for layer_input in layer.inputs]
        synapses = [layer_input.synapse for layer_input in inputs]
        convs = [synapse for synapse in synapses if synapse.kind == "conv"]
        sources = [source for layer_input in inputs for source in layer_input.source]
        networks.update(
            {
                ("lively", 0 < rates[-1].mean() < 1),
                ("dense", any(rate.max() > 0.5 for rate in rates)),
                ("loops", network.has_loops),
                ("summed", any(len(layer_input.source) > 1 for layer_input in inputs)),
                ("windows", any(conv.windows != ((1, 1), (1, 1), (0, 0)) for conv in convs)),
                *(("kind", synapse.kind) for synapse in synapses),
                *(("pooling", conv.pooling) for conv in convs if conv.pool != 1),
                *(("reset", layer.spiking_neuron.reset) for layer in network.layers),
                *(("delays", type(source.delay)) for source in sources),
                *(("sign", source.sign) for source in sources),
            }
        )

    look_at()
    few = {
        thing: count for thing, count in networks.items() if count < 10 and thing[1] is not False
    }
    assert networks["lively", True] >= 30 and networks["dense", True] >= 15 and not few


@pytest.mark.parametrize(
    "build", [odd_sizes, constant_odd, resets, overlaps, rectangles, changing_maps, multiplied]
)
@pytest.mark.parametrize("name", ["event", "torch", "lava"])
def test_float32_follows_the_equations(
    name: str, build: Callable[[np.random.Generator], Network]
) -> None:
    rng = np.random.default_rng(7)
    network = build(rng)
    inputs = samples(rng, network)
    expected, expected_readout = simulate_reference(network, inputs)
    rasters, readout = simulate(name, network, inputs, (4, 2))
    for key, raster, wanted in zip(network.raster_names, rasters, expected, strict=True):
        assert key != "input" or np.array_equal(raster, wanted)
        assert (
            np.mean(raster != wanted) <= 1e-3
        )  # float32 may round a membrane to the other side of its threshold
    assert np.abs(readout - expected_readout).max() <= 1e-3 * np.abs(expected_readout).max()


@pytest.mark.parametrize("backend", BACKENDS)
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
    weight = np.ones((1, 1), np.float32)
    layers = (
        Layer("seen", weight, LIF(0.0, 0.5, reset="zero")),
        Layer(
            "hold",
            (
                Input(weight, (Source("seen", 2), Source("input", 4, sign=-1))),
                Input(weight, "hold"),
            ),
            LIF(1.0, 0.5, reset_by=1.0),
        ),
        Layer("both", Input(weight, ("hold", Source("seen", 2))), LIF(0.0, 1.5, reset="zero")),
    )
    network = Network((1, 1, 1), 9, layers, Readout(weight), "spikes")
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


@pytest.mark.parametrize("backend", BACKENDS)
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


def test_the_equations_give_the_worked_reference(shared: Any) -> None:
    network, arrays = reference_network(shared)
    spikes = arrays["input_spikes"].astype(np.bool_)[:, None]
    for precision, tested in (("float", network), ("fixed", quantise(network))):
        rasters, readout = simulate_reference(tested, spikes)
        for number in range(1, 5):
            assert np.array_equal(
                rasters[number][:, 0], arrays[f"layer{number}_raster_{precision}"]
            )
        assert readout[0] == pytest.approx(arrays[f"readout_{precision}"], rel=1e-5)


@pytest.mark.parametrize("name", ["event", "torch", "lava"])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 2, 3, 13, 7), bool),
        ((9, 2, 3, 7, 13), bool),
        ((9, 2, 3, 13, 7), np.float32),
        ((9, 2, 1, 13, 7), bool),
    ],
)
def test_spikes_of_another_shape_or_type_are_refused(
    name: str, shape: tuple[int, ...], dtype: Any
) -> None:
    network = quantise(odd_sizes(np.random.default_rng(0)))
    sides = re.escape(str((shape[0], *shape[2:])))
    message = rf"{name}: got .* = {sides} {np.dtype(dtype)}, expected \(9, 3, 13, 7\) bool"
    with pytest.raises(BackendError, match=message):
        list(make_backend(name).run(network, [np.zeros(shape, dtype)], 2))
    if dtype is bool:
        with pytest.raises(BackendError, match=message):
            list(make_backend(name).run(network, [PackedSpikes.of(np.zeros(shape, dtype))], 2))


@pytest.mark.parametrize("name", ["event", "torch", "lava"])
def test_the_largest_numbers_that_a_network_may_have_stay_numbers(name: str) -> None:
    rng = np.random.default_rng(0)
    conv, dense, out = (
        rng.choice([-1.0, 1.0], shape) for shape in ((4, 2, 3, 3), (5, 4 * 3 * 4), (3, 5))
    )

    def scaled(conv_scale: float, dense_scale: float, out_scale: float) -> Network:
        layers = (
            Layer(
                "conv1",
                Input(Conv(conv * conv_scale, padding=1), gain=rng.choice([-1, 1], 4)),
                LIF(1.0, synaptic_leak=1.0),
            ),
            Layer(
                "fc1",
                Dense(dense * dense_scale, pool=2),
                LIF(1.0, bias=rng.choice([-1, 1], 5) * dense_scale),
            ),
        )
        return Network((2, 6, 8), 8, layers, Readout(out * out_scale), "spikes")

    network = scaled(
        FLOAT_LIMIT / (8 * 8 * 18 * 1.01),
        FLOAT_LIMIT / (8 * 49 * 1.01),
        FLOAT_LIMIT / (8 * 5 * 1.01),
    )
    _, readout = simulate(name, network, np.ones((8, 2, 2, 6, 8), np.bool_), (2,))
    assert np.isfinite(readout).all()
    with pytest.raises(NetworkError, match="layer 'fc1': "):
        scaled(1.0, FLOAT_LIMIT / (8 * 49 * 0.99), 1.0)
