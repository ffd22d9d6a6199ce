"""Graphs of every supported kind fire here as NIR's equations say, to the bit."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesam.pipeline.imports.nir.read import from_nir
from spikesam.pipeline.imports.nir.write import to_nir
from tests.pipeline.imports.nir.graphs import (
    DT,
    conv,
    graph,
    integrate,
    interpret,
    lif,
    nir,
    pool,
    run,
    small,
    weights,
)

T = 12
TAKEN = (
    "from_nir: the graph does not say how long a step is, taken as dt=1e-4 s; files of snnTorch "
    "and SpikingJelly have 1e-4, of Norse 1e-3, of sinabs 1; give dt"
)


def spikes(shape: tuple[int, ...] = (2, 8, 8), density: float = 0.4) -> NDArray[np.bool_]:
    return np.random.default_rng(1).random((T, *shape)) < density


def assert_same(graph: Any, inputs: NDArray[np.bool_], **options: Any) -> None:
    """All spikes of all layers, and the readout."""
    network = from_nir(graph, T, **options)
    dt, at = options.get("dt", DT), options.get("fires_at_threshold", False)
    expected, output = interpret(graph, inputs, dt, options.get("reset", "zero"), at)
    fired, readout = run(network, inputs if inputs.ndim == 4 else inputs[:, :, None, None])
    rasters = list(fired.values())[1:]
    wanted = [value for name, value in expected.items() if not name.startswith("or")][
        : len(rasters)
    ]
    assert len(rasters) == len(network.layers) > 0
    for raster, want in zip(rasters, wanted, strict=True):
        assert 0 < want.mean() < 1
        assert np.array_equal(raster.reshape(want.shape), want)
    leaks = any(isinstance(node, (nir.I, nir.LI)) for node in graph.nodes.values())
    assert readout == pytest.approx(output[-1] if leaks else output.sum(axis=0), abs=1e-5)


@pytest.mark.parametrize(
    "about", [(1, 1, 1, 1), (2, 2, 2, 2), (1, "same", 1, 1), (3, "valid", 1, 1)]
)
@pytest.mark.parametrize("declared", [None, 16])
def test_a_convolution_of_rows_is_one_of_maps_of_height_1(about: Any, declared: Any) -> None:
    stride, padding, dilation, groups = about
    rng = np.random.default_rng(3)
    weight, bias = weights(rng, 4, 2 // groups, 3), np.full(4, 0.25, np.float32)
    length = (
        16 + 2 * (padding if isinstance(padding, int) else padding == "same") - 2 * dilation - 1
    ) // stride + 1
    dense = nir.Affine(weights(rng, 5, 4 * length) / 4, np.zeros(5))
    row = nir.Conv1d(declared, weight, stride, padding, dilation, groups, bias)
    around = (0, padding) if isinstance(padding, int) else padding
    flat = nir.Conv2d(
        declared and (1, declared),
        weight[:, :, None],
        (1, stride),
        around,
        (1, dilation),
        groups,
        bias,
    )
    networks = [
        from_nir(
            graph(
                input=nir.Input(np.array([2, *high, 16])),
                conv1=synapses,
                neurons1=lif(
                    (4, *high, length),
                    threshold=np.arange(1, 5).reshape(4, *[1] * len(high), 1) / 2,
                ),
                flatten=nir.Flatten(np.array([4, *high, length]), -2 - len(high), -1),
                fc=dense,
                neurons2=lif((5,)),
                output=nir.Output(np.array([5])),
            ),
            T,
        )
        for synapses, high in ((row, ()), (flat, (1,)))
    ]
    assert networks[0].layers[0].inputs[0].weight.shape[:3] == (4, 2, 1)
    assert networks[0].sha256 == networks[1].sha256 == from_nir(to_nir(networks[0])).sha256


@pytest.mark.parametrize("neuron", [lif, integrate])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("fires_at_threshold", [False, True])
def test_resets_and_firing_rules(neuron: Any, reset: Any, fires_at_threshold: bool) -> None:
    if (neuron, reset) != (
        lif,
        "subtract",
    ):  # a leaky neuron subtracts after its leak here, see below
        assert_same(small(neuron), spikes(), reset=reset, fires_at_threshold=fires_at_threshold)


def test_a_leaky_neuron_subtracts_after_its_leak() -> None:
    network = from_nir(small(), T, reset="subtract")
    assert [layer.neuron.reset_by for layer in network.layers] == [None, None]


def test_layers_have_the_names_of_their_weights_where_these_are_names() -> None:
    network = from_nir(small(), T)
    assert [layer.name for layer in network.layers] == ["conv1", "fc"]
    assert (network.timesteps, network.encoder, network.input_shape) == (T + 2, "spikes", (2, 8, 8))
    rng = np.random.default_rng(0)
    nodes = (
        nir.Input(np.array([2, 8, 8])),
        conv(rng, 3, 2, 1, 1),
        lif((3, 8, 8)),
        conv(rng, 1, 3, 8, 8),
        lif((1, 1, 1)),
    )
    assert [layer.name for layer in from_nir(graph(*nodes, output=nir.Output([1])), T).layers] == [
        "conv1",
        "conv2",
    ]


def test_one_step_that_is_one_unit_of_time() -> None:
    one = np.ones((3, 8, 8))
    assert_same(
        small(neurons1=nir.IF(one, one), neurons2=nir.IF(one[:, 0, :5][0], one[:, 0, :5][0])),
        spikes(),
        dt=1,
    )


@pytest.mark.parametrize("kind", ["SumPool2d", "AvgPool2d"])
@pytest.mark.parametrize("side", [2, 4])
def test_pooling(kind: str, side: int) -> None:
    rng = np.random.default_rng(0)
    fc = nir.Affine(weights(rng, 5, 192 // side**2), np.zeros(5, np.float32))
    flatten = nir.Flatten(np.array([3, 8 // side, 8 // side]), 0, -1)
    assert_same(small(pool=pool(kind, side), flatten=flatten, fc=fc), spikes())


@pytest.mark.parametrize(
    ("kind", "threshold"), [("SumPool2d", 0.5), ("SumPool2d", 0.0), ("AvgPool2d", 0.1)]
)
def test_a_threshold_behind_pooling_is_maximum_pooling(kind: str, threshold: float) -> None:
    rng = np.random.default_rng(0)
    nodes = small().nodes
    found = graph(
        **{name: nodes[name] for name in ("input", "conv1", "neurons1")},
        pool=pool(kind, 2),
        or_=nir.Threshold(np.full((3, 4, 4), threshold)),
        conv2=conv(rng, 4, 3, 3, 3),
        neurons2=lif((4, 2, 2)),
        flatten=nir.Flatten(np.array([4, 2, 2]), 0, -1),
        fc=nir.Linear(weights(rng, 3, 16)),
        output=nir.Output(np.array([3])),
    )
    assert_same(found, spikes(density=0.2))
    assert from_nir(found, T).layers[1].inputs[0].synapse.pooling == "max"


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(
    ("stride", "padding", "side"), [(1, 0, 7), (2, 2, 6), (1, "same", 9), (2, "valid", 4)]
)
def test_convolutions(groups: int, dilation: int, stride: int, padding: Any, side: int) -> None:
    rng = np.random.default_rng(0)
    if dilation == 2:
        side = {7: 5, 6: 5, 9: 9, 4: 3}[side]
    found = graph(
        input=nir.Input(np.array([2, 9, 9])),
        conv=conv(
            rng,
            4,
            2 // groups,
            3,
            3,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        ),
        lif=lif((4, side, side)),
        flatten=nir.Flatten(np.array([4, side, side]), 0, -1),
        fc=nir.Affine(weights(rng, 3, 4 * side**2), np.zeros(3)),
        output=nir.Output(np.array([3])),
    )
    assert_same(found, spikes((2, 9, 9)))


def test_constants_that_differ_by_channel() -> None:
    channels = np.array([0.5, 1.0, 2.0])[:, None, None]
    neurons = lif(
        (3, 8, 8),
        leak=np.array([0.5, 0.75, 0.875])[:, None, None] * np.ones((3, 8, 8)),
        threshold=channels,
    )
    found = small(neurons1=neurons)
    assert_same(found, spikes())
    assert from_nir(found, T).layers[0].neuron.leak == pytest.approx([0.5, 0.75, 0.875])


def test_numbers_for_all_neurons_at_once() -> None:
    one = np.ones(())
    network = from_nir(small(neurons1=nir.LIF(4 * DT * one, 4 * one, 0 * one, one)), T)
    assert network.sha256 == from_nir(small(), T).sha256


@pytest.mark.parametrize(
    ("resistance", "steps", "options", "told"),
    [
        (4, 4, {}, False),  # r·dt/τ = 1 at a step of 1e-4 s
        (1, 4, {}, True),
        (1, 4, {"dt": DT}, False),
        (1, 4 * 1e-3 / DT, {}, True),  # as Norse writes it, with a step of 1e-3 s
    ],
)
def test_a_step_that_nothing_says_is_told(
    resistance: float, steps: float, options: Any, told: bool
) -> None:
    def neurons(shape: tuple[int, ...]) -> Any:
        one = np.ones(shape)
        return nir.LIF(steps * DT * one, resistance * one, 0 * one, one)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from_nir(small(neurons), T, **options)
    texts = [str(warning.message) for warning in caught]
    assert texts == [TAKEN] * told


def test_what_a_resistance_and_a_leak_voltage_do() -> None:
    """dt/τ = 1/4: the drive is r/4 = 1/2, and v_leak = 2 pulls by 2/4 at every step."""
    shape = np.ones((3, 8, 8))
    found = small(neurons1=nir.LIF(4 * DT * shape, 2 * shape, 0.5 * shape, shape))
    assert_same(found, spikes())
    layer = from_nir(found, T).layers[0]
    assert (layer.neuron.leak, layer.inputs[0].gain[0, 0]) == (0.75, 0.5)
    assert layer.neuron.bias[0] == pytest.approx(0.5 * found.nodes["conv1"].bias + 0.125)


def test_membranes_are_counted_from_where_they_rest() -> None:
    """A threshold 1 above a rest of -0.5 is that of 1 above 0; a rest may differ by channel."""
    rest = np.array([-0.5, 0.25, 0.0])[:, None, None] * np.ones((3, 8, 8))
    one, zero = np.ones((3, 8, 8)), np.zeros((3, 8, 8))
    found, usual = (
        small(neurons1=nir.LIF(4 * DT * one, 4 * one, at, 1 + at, at.copy())) for at in (rest, zero)
    )
    assert_same(found, spikes())
    assert from_nir(found, T).sha256 == from_nir(usual, T).sha256
    synaptic = nir.CubaLIF(
        2 * DT * one, 4 * DT * one, 4 * one, rest, 1 + rest, rest.copy(), w_in=2.0
    )
    assert_same(small(neurons1=synaptic), spikes(density=0.8))
    assert from_nir(found, T, reset="subtract").layers[0].neuron.threshold == pytest.approx(
        [0.5, 1.25, 1.0]
    )


def test_a_scale_behind_weights() -> None:
    rng = np.random.default_rng(0)
    nodes = small().nodes
    found = graph(
        **{name: nodes[name] for name in ("input", "conv1")},
        scale=nir.Scale(np.array([0.5, 1.0, 2.0])[:, None, None] * np.ones((3, 8, 8))),
        neurons1=nodes["neurons1"],
        flatten=nir.Flatten(np.array([3, 8, 8]), 0, -1),
        fc=nir.Linear(weights(rng, 4, 192)),
        out=nir.Scale(np.array([1.0, 2.0, 3.0, 4.0])),
        output=nir.Output(np.array([4])),
    )
    assert_same(found, spikes())


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_synaptic_currents(steps: int) -> None:
    shape = np.ones((3, 8, 8))
    cuba = nir.CubaLIF(
        steps * DT * shape, 4 * DT * shape, 4 * shape, 0 * shape, shape, w_in=steps / 2
    )
    found = small(neurons1=cuba)
    assert_same(found, spikes(density=0.8))
    layer = from_nir(found, T).layers[0]
    assert (layer.neuron.synaptic_leak, layer.inputs[0].gain[0, 0]) == (1 - 1 / steps, 0.5)


def test_a_threshold_behind_weights_is_a_neuron_without_memory() -> None:
    assert_same(small(neurons1=nir.Threshold(np.full((3, 8, 8), 0.75))), spikes())


@pytest.mark.parametrize(
    "kind", ["I", "LI", "LI drives", "I, weights", "LI, weights", "none", "pooled"]
)
def test_readouts(kind: str) -> None:
    rng = np.random.default_rng(0)
    one = np.ones(3)
    end = {
        "I": {"integrator": nir.I(one / DT)},
        "LI": {"integrator": nir.LI(4 * DT * one, 4 * one, 0 * one)},
        "LI drives": {"integrator": nir.LI(4 * DT * one, 2 * one, 0.5 * one)},
    }
    behind = nir.Affine(
        weights(rng, 2, 3), np.array([5.0, -2.0])
    )  # its bias is added once, to the last membrane
    end |= {f"{name}, weights": {**end[name], "behind": behind} for name in ("I", "LI")}
    nodes = small().nodes
    pooled = kind == "pooled"
    found = graph(
        **{name: nodes[name] for name in ("input", "conv1", "neurons1")},
        **({"pool": pool("SumPool2d", 2)} if pooled else {}),
        flatten=nir.Flatten(np.array([3, 4, 4] if pooled else [3, 8, 8]), 0, -1),
        fc=nir.Affine(weights(rng, 3, 48 if pooled else 192), rng.integers(-4, 4, 3) / 16),
        **end.get(kind, {}),
        output=nir.Output(np.array([2 if kind.endswith("weights") else 3])),
    )
    assert_same(found, spikes())


def test_a_dense_network() -> None:
    rng = np.random.default_rng(0)
    synapses = (
        nir.Affine(weights(rng, 5, 6), np.zeros(5)),
        lif((5,)),
        nir.Linear(weights(rng, 3, 5)),
        lif((3,)),
    )
    found = graph(nir.Input(np.array([6])), *synapses, nir.Output(np.array([3])))
    assert_same(found, spikes((6,)))
    assert from_nir(found, T).input_shape == (6, 1, 1)


def test_graphs_inside_graphs() -> None:
    nodes = small().nodes
    ends = {"inner": nir.Input(np.array([2, 8, 8])), "out": nir.Output([3, 8, 8])}
    inside = graph(inner=ends["inner"], conv1=nodes["conv1"], n=nodes["neurons1"], out=ends["out"])
    rest = {
        name: node for name, node in nodes.items() if name not in ("input", "conv1", "neurons1")
    }
    found = from_nir(graph(input=nodes["input"], block=inside, **rest), T)
    assert [layer.name for layer in found.layers] == ["block_conv1", "fc"]
    flat = from_nir(small(), T)
    pairs = zip(found.layers, flat.layers, strict=True)
    assert all(np.array_equal(a.inputs[0].weight, b.inputs[0].weight) for a, b in pairs)


def test_float32_files_lose_no_factor_of_one() -> None:
    """snnTorch computes tau and r in float32, so that r·dt/tau is 1 only nearly."""
    shape = np.ones(5, np.float32)
    tau = (DT / (1 - np.float32(0.9))).astype(np.float32) * shape
    layer = from_nir(
        small(neurons2=nir.LIF(tau, tau / np.float32(DT), 0 * shape, shape)), T
    ).layers[1]
    neuron = layer.neuron
    assert (layer.inputs[0].gain == 1).all()
    assert np.float32(neuron.leak) == np.float32(0.9)
