"""A network that goes through a NIR file is the same network, whatever it holds."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikesam
from spikesam import conformance
from spikesam.backends.network import (
    LIF,
    Attention,
    Conv,
    Dense,
    Encoder,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Source,
)
from spikesam.backends.network.quantise import quantise
from spikesam.common.errors import InputError
from spikesam.pipeline.imports.nir import write
from spikesam.pipeline.imports.nir.read import from_nir
from spikesam.pipeline.imports.nir.write import to_nir
from tests.backends.graphs import FLOAT, graphs
from tests.pipeline.imports.nir.graphs import nir

rng = np.random.default_rng(0)


def neuron(rng: np.random.Generator, channels: int) -> LIF:
    """Constants of every kind: one number, or one per channel."""

    def constant(low: float, high: float) -> Any:
        return rng.uniform(low, high, channels if rng.random() < 0.3 else None)

    reset: Any = rng.choice(("subtract", "zero"))
    return LIF(
        leak=rng.choice((0.0, 0.5, 0.99, 1.0)) if rng.random() < 0.6 else constant(0, 1),
        threshold=constant(0.1, 3),
        bias=0.0 if rng.random() < 0.4 else constant(-1, 1),
        reset=reset,
        reset_by=constant(0, 2) if reset == "subtract" and rng.random() < 0.5 else None,
        fires_at_threshold=bool(rng.random() < 0.5),
        synaptic_leak=0.0 if rng.random() < 0.5 else constant(0, 1),
        min_v_mem=None if rng.random() < 0.5 else constant(-1, 0),
    )


NUMBERS = replace(
    FLOAT,
    neurons=neuron,
    gain=lambda rng, shape: 1.0 if rng.random() < 0.4 else rng.normal(0, 2, shape),
)
ENCODERS: tuple[Encoder, ...] = ("spikes", "constant-current", "changing-current")


@pytest.mark.long
@given(
    network=st.sampled_from(ENCODERS).flatmap(
        lambda encoder: graphs(NUMBERS, encoder, products=False)
    ),
    leak=st.sampled_from((1.0, 0.9, 0.0)),
    biased=st.booleans(),
)
@settings(max_examples=25)
def test_any_network(
    network: Network, leak: float, biased: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also one whose readout leaks, or has a bias at each step."""
    weight = network.readout.weight
    bias = rng.normal(size=(network.timesteps, len(weight))) if biased else 0.5
    network = replace(network, readout=Readout(weight, leak=leak, bias=bias))
    path = tmp_path_factory.mktemp("nir") / "network.nir"
    to_nir(network, path)
    assert from_nir(path).sha256 == network.sha256


@pytest.mark.parametrize("sign", [1, -1])
def test_a_maximum_of_currents_that_one_weight_of_1_gives_stays_one(sign: int) -> None:
    """A maximum of what chooses a channel is an OR of spikes as well, which is another network, and
    none where spikes are subtracted.
    """
    one = np.ones((1, 1, 1, 1), np.float32)
    pooled = Conv(one, current_pool=(1, 3), current_stride=1, current_padding=(0, 1))
    layers = (
        Layer("layer1", Conv(one), LIF(0.9)),
        Layer("layer2", Input(pooled, Source("layer1", sign=sign)), LIF(0.5, bias=0.3)),
    )
    readout = Readout(np.ones((1, 12), np.float32))
    network = Network((1, 3, 4), 3, layers, readout, "spikes")
    assert from_nir(to_nir(network)).sha256 == network.sha256


@pytest.mark.parametrize("name", ["cluttered-digits", "tiny-imagenet-10"])
def test_bundled_networks(name: str, tmp_path: Path) -> None:
    """Their gains differ from step to step."""
    network = spikesam.load(name).network
    spikesam.to_nir(network, tmp_path / "network.nir")
    assert spikesam.from_nir(tmp_path / "network.nir").sha256 == network.sha256


def dense(
    neuron: LIF, readout: Any = None, timesteps: int = 4, gain: Any = 1, **options: Any
) -> Network:
    weight = np.array([[0.5, -0.25], [1, 0.1], [0.3, 0.7]], np.float32)
    layer = Layer("fc1", Input(weight, gain=gain), neuron)
    return Network(
        (2, 1, 1), timesteps, (layer,), readout or Readout(np.eye(3)), "spikes", **options
    )


def test_a_network_of_a_model_without_delay_keeps_its_window() -> None:
    neuron = LIF(0.5, 0.4, bias=0.3)
    layers = tuple(Layer(f"fc{number}", np.eye(3), neuron) for number in (1, 2))
    graph = to_nir(Network((3, 1, 1), 6, layers, Readout(np.eye(3)), "spikes"))
    network = from_nir(graph, timesteps=4)
    assert (network.timesteps, network.window) == (6, 4)
    assert network.layers[0].neuron.bias[:, 0].tolist() == [0.3] * 4 + [
        -0.4 * 2**17,
        0.3,
    ]  # the last acts no more
    again = to_nir(network)
    assert again.nodes["fc1"].bias.tolist() == pytest.approx([0.3] * 3)
    assert from_nir(again).sha256 == network.sha256


@pytest.mark.parametrize(
    ("bias", "said"),
    [
        ([[0.5] * 3, [0.5] * 3, [0.25] * 3, [0.5] * 3], "it differs from step to step"),
        (0.5, "it acts in 1 step before the first spike, too"),
        ([[0.0] * 3] + [[0.5] * 3] * 3, ""),
        (0.0, ""),
    ],
)
@pytest.mark.parametrize("leak", [1.0, 0.5])
def test_a_bias_that_acts_at_other_steps_in_other_programs_is_said(
    bias: Any, said: str, leak: float, recwarn: pytest.WarningsRecorder
) -> None:
    readout = Readout(np.ones((3, 3)), leak=leak, bias=np.array(bias))
    graph = to_nir(dense(LIF(0.5), readout))
    line = "to_nir: other programs add the readout's last bias at each of their steps; here "
    assert [str(warning.message) for warning in recwarn] == ([line + said] if said else [])
    assert all(warning.filename == __file__ for warning in recwarn)
    bias_of_others = graph.nodes["readout"].bias
    assert bias_of_others.tolist() == np.atleast_2d(np.broadcast_to(bias, (4, 3)))[-1].tolist()


def test_constants_travel_in_the_file_that_double_precision_cannot_compute() -> None:
    """1 - dt/τ is not 0.99 but close to it; a channel may have no gain."""
    leak = np.nextafter(0.99, 1)
    assert from_nir(to_nir(dense(LIF(leak)))).layers[0].neuron.leak == leak
    network = dense(LIF(0.9, bias=0.5), gain=[0.0, 2.0, 1e-30])
    assert from_nir(to_nir(network)).sha256 == network.sha256


def test_weights_hold_the_gain_for_other_programs() -> None:
    network = dense(LIF(0.5, bias=0.5), gain=[1.0, 2.0, 4.0])
    graph = to_nir(network)
    assert graph.nodes["fc1"].weight == pytest.approx(
        network.layers[0].inputs[0].weight * [[1], [2], [4]]
    )
    graph.nodes["fc1.neuron"].metadata.clear()
    read = from_nir(graph, reset="subtract").layers[0]
    assert (read.inputs[0].gain == 1).all()
    assert read.inputs[0].weight == pytest.approx(graph.nodes["fc1"].weight)


def test_nodes_that_other_programs_read() -> None:
    graph = to_nir(dense(LIF(0.75, 2.0, reset="zero")), dt=1e-3)
    assert list(graph.nodes) == ["input", "fc1", "fc1.neuron", "output"]
    assert graph.edges == [("input", "fc1"), ("fc1", "fc1.neuron"), ("fc1.neuron", "output")]
    neuron = graph.nodes["fc1.neuron"]
    assert isinstance(neuron, nir.LIF)
    assert neuron.tau == pytest.approx([4e-3] * 3)
    assert neuron.r == pytest.approx([4] * 3)
    assert [*neuron.v_threshold, *neuron.v_reset, *neuron.v_leak] == [2, 2, 2, 0, 0, 0, 0, 0, 0]
    assert graph.nodes["fc1"].weight.dtype == np.float32


def test_the_library_itself_agrees_on_all_sizes(tmp_path: Path) -> None:
    """nir.read checks types by default. A maximum of currents, in windows that overlap, goes
    through a file, too.
    """
    windows: Any = {"current_pool": (1, 3), "current_stride": (1, 2), "current_padding": (0, 1)}
    conv = Layer(
        "conv1", Input(Conv(rng.normal(size=(4, 2, 3, 3)), padding=1, **windows)), LIF(0.9)
    )
    layers = conv, Layer("fc1", Dense(rng.normal(size=(3, 8)), pool=4, pooling="max"), LIF(1.0))
    path, network = (
        tmp_path / "network.nir",
        Network((2, 8, 8), 5, layers, Readout(np.eye(3), leak=0.5)),
    )
    to_nir(network, path)
    assert list(nir.read(path).nodes) == sorted(to_nir(from_nir(path)).nodes)  # HDF5 sorts names
    assert from_nir(path).sha256 == network.sha256


def test_what_the_file_says_can_be_said_otherwise() -> None:
    graph = to_nir(dense(LIF(0.75, reset_by=0.3, fires_at_threshold=True)))
    read = from_nir(graph, 10, reset="zero", fires_at_threshold=False)
    assert (read.timesteps, read.layers[0].neuron.reset) == (11, "zero")
    assert read.layers[0].neuron.reset_by is None
    assert not read.layers[0].neuron.fires_at_threshold
    with pytest.raises(NetworkError, match="gain has 4 steps, expected 1 or T = 11"):
        from_nir(to_nir(dense(LIF(0.75), gain=np.ones((4, 3)))), 10)


@pytest.mark.parametrize("field", ["tau", "bias"])
def test_metadata_that_contradict_their_node_are_refused(field: str) -> None:
    """As when another program trained the network on."""
    graph = to_nir(dense(LIF(0.75, bias=rng.normal(size=(4, 3)))))
    if field == "tau":
        graph.nodes["fc1.neuron"].tau *= 2
        graph.nodes["fc1.neuron"].r *= 2
    else:
        graph.nodes["fc1"].bias += 1
    what = {"tau": "leak", "bias": "bias"}[field]
    with pytest.raises(
        NetworkError, match=f"node 'fc1.neuron': its metadata 'spikesam' contradict it in {what}"
    ):
        from_nir(graph)


def test_what_is_refused(tmp_path: Path) -> None:
    network = dense(LIF(0.9))
    for bad, message in (
        (
            quantise(network),
            "to_nir: got a network in fixed point, which NIR cannot say; expected it in float32",
        ),
        (
            spikesam.load("cluttered-digits"),
            "to_nir: network is of type Checkpoint, expected a Network, such as checkpoint.network",
        ),
        (spikesam.load("cluttered-digits-ann").network, "to_nir: got an ANN, which does not spike"),
    ):
        with pytest.raises(spikesam.InputError, match=message):
            to_nir(bad)  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="to_nir: dt is 0, expected more than 0 seconds"):
        to_nir(network, dt=0)
    with pytest.raises(
        NetworkError, match=r"absent/x.nir: cannot be written .*; expected the name of a file"
    ):
        to_nir(network, tmp_path / "absent" / "x.nir")
    with pytest.raises(NetworkError, match=r"cannot be written .*; expected the name of a file"):
        to_nir(network, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            Input(Attention(heads=1), ("fc1", "fc1", "fc1")),
            "multiplies the spikes of q, k and v, for which NIR has no node",
        ),
        (
            Input(Dense(np.eye(6), spread=(2, 1, 1)), "fc1"),
            "repeats spikes, for which NIR has no node",
        ),
        (
            Input(Conv(np.ones((1, 3, 1, 1)), current_sum=True), "fc1"),
            "sums the currents of a map, for which NIR has no",
        ),
        (Input(Identity(), "fc1"), "has no weights, as gates, expected some in its first input"),
    ],
)
def test_products_of_spikes_have_no_nodes(second: Input, message: str) -> None:
    network = dense(LIF(0.9))
    layer = Layer("fc2", second, LIF(0.9))
    outputs = layer.inputs[0].output_shape((3, 1, 1))[0]
    with pytest.raises(NetworkError, match=f"^to_nir: layer 'fc2' {message}"):
        to_nir(
            replace(
                network, layers=(*network.layers, layer), readout=Readout(np.ones((2, outputs)))
            )
        )


def test_where_layers_stand_is_said_where_a_delay_hides_it() -> None:
    """The second layer is two steps from the input by the way that the first makes, but one by the
    other.
    """
    neuron = LIF(0.5, 0.4)
    first, second = (
        Layer("fc1", Input(np.eye(3), "input"), neuron),
        Layer("fc2", Input(np.eye(3), "fc1"), neuron),
    )
    third = Layer("fc3", Input(np.eye(3), ("fc2", Source("input", 2))), neuron)
    network = from_nir(
        to_nir(Network((3, 1, 1), 8, (first, second, third), Readout(np.eye(3)), "spikes")),
        timesteps=4,
    )
    assert (network.timesteps, network.window, network.late) == (6, 4, (1, 2, 2))
    assert from_nir(to_nir(network)).sha256 == network.sha256
    raster = spikesam.simulate(network, np.ones((4, 2, 3, 1, 1), bool))
    starts = [raster.header.window_of(spec).start for spec in raster.layers]
    assert starts == [0, 1, 2, 2]


def test_networks_of_all_graphs_of_the_suite_go_back() -> None:
    went_back = 0
    for case in conformance.cases():
        try:
            network = from_nir(case.graph(), 20, dt=case.dt)
        except InputError:  # in another test
            continue
        for dt in (case.dt, 0.7 * case.dt):  # with constants that are no multiples of 1/16
            assert from_nir(to_nir(network, dt=dt)).sha256 == network.sha256, case
        went_back += 1
    assert went_back > 150


def test_layers_that_read_a_delayed_input_first_keep_their_window() -> None:
    """No layer reads what the one before fired a step ago, and yet each stands a step later."""
    one = np.ones((1, 1), np.float32)
    neurons = [nir.IF(np.full(1, 1e4), np.ones(1)) for _ in range(3)]
    nodes = {
        "input": nir.Input(np.array([1])),
        "wait": nir.Delay(np.full(1, 1e-4)),
        **{f"fc{number}": nir.Linear(one) for number in range(3)},
        **{f"neurons{number}": node for number, node in enumerate(neurons)},
        "output": nir.Output(np.array([1])),
    }
    chain = ["input", "wait"]
    for number in range(3):
        chain += [f"fc{number}", f"neurons{number}"]
    graph = nir.NIRGraph(nodes, [*pairwise([*chain, "output"])], type_check=False)
    network = from_nir(graph, 20, dt=1e-4)
    assert network.window == 20
    assert from_nir(to_nir(network)).sha256 == network.sha256


@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_zeros_keep_their_signs(gain: float) -> None:
    """A hash tells -0 from 0, which come from products with negative numbers."""
    weight = np.array([[-0.0, 0.5], [0.0, 1], [0.3, -0.0]], np.float32)
    layer = Layer("fc1", Input(weight, gain=gain), LIF(0.5, bias=[-0.0, 0.0, 0.25]))
    readout = Readout(weight.T.copy(), bias=[-0.0, 0.0])
    network = Network((2, 1, 1), 4, (layer,), readout, "spikes")
    graph = to_nir(network)
    assert from_nir(graph).sha256 == network.sha256
    graph.nodes["readout"].metadata["spikesam"]["weight"] = np.ones((2, 3))
    with pytest.raises(NetworkError, match="metadata have other weights, expected those of"):
        from_nir(graph)


def test_what_a_graph_does_not_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense(LIF(0.5))
    other = replace(network, layers=(Layer("fc1", network.layers[0].inputs, LIF(0.5, bias=0.25)),))
    monkeypatch.setattr(write, "from_nir", lambda graph: other)
    with pytest.raises(NetworkError, match=r"does not hold fc1\.bias of this network exactly"):
        to_nir(network)
