"""Construction checks of a Network, its identity, and its file."""

from dataclasses import replace

import numpy as np
import pytest

from spikesam.backends.network import (
    LIF,
    Conv,
    Dense,
    FixedLIF,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    ReLU,
    neurons,
)
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import read_network, write_network
from tests.layers import input_of

random = np.random.default_rng(0)
CONV = random.normal(size=(4, 2, 3, 3))
DENSE = random.normal(size=(5, 4 * 3 * 4))


def network(
    timesteps: int = 3, conv: np.ndarray = CONV, dense: np.ndarray = DENSE, **changes: object
) -> Network:
    layers = (
        Layer("conv1", Input(Conv(conv, padding=1)), LIF(0.9)),
        Layer("fc1", Dense(dense, pool=2), LIF(1.0, 0.5)),
    )
    arguments = {
        "input_shape": (2, 6, 8),
        "layers": layers,
        "readout": Readout(np.ones((3, 5))),
    } | changes
    return Network(timesteps=timesteps, **arguments)


def conv1(**given: object) -> Layer:
    return Layer("conv1", input_of(CONV, **given), LIF(0.9))


def fixed(weight: object = 1, **neuron: object) -> Layer:
    given = Input(np.atleast_2d(np.int8(weight)), gain=np.int32([[1]]))
    return Layer("fc1", given, FixedLIF(0, bias=np.int32([[0]]), **neuron))


MAXIMUM = Layer("fc1", Dense(DENSE, pool=2, pooling="max"), LIF(0.9))


POINT = np.ones((1, 1, 1, 1))
RELU, LIFS = Layer("fc1", np.eye(2), ReLU()), Layer("fc2", np.eye(2), LIF(1.0))


def layers_of(*inputs: object, side: int = 8, timesteps: int = 3) -> Network:
    """A layer of each."""
    layers = [Layer(f"c{number}", each, LIF(1)) for number, each in enumerate(inputs)]
    return Network((1, side, side), timesteps, layers, Readout(np.ones((2, 64))))


def two(*layers: Layer, timesteps: int = 1, encoder: str = "image") -> Network:
    """A network of layers of two neurons."""
    return Network((2, 1, 1), timesteps, layers, Readout(np.ones((1, 2))), encoder)


def test_shapes_and_names():
    assert network().shapes == ((2, 6, 8), (4, 6, 8), (5, 1, 1))
    assert network().raster_names == ("input", "conv1", "fc1")
    assert network().raster_shapes == network().shapes
    constant = network(encoder="constant-current")
    assert constant.shapes == network().shapes
    assert constant.raster_names == ("conv1", "fc1")
    assert constant.raster_shapes == ((4, 6, 8), (5, 1, 1))
    assert constant.sha256 != network().sha256


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: network(0), "network: timesteps is 0, expected an integer ≥ 1, at most 65,536"),
        (
            lambda: network(input_shape=(2, 7, 8)),
            r"layer 'fc1': pooling 2 does not divide its 7×8 input",
        ),
        (
            lambda: network(input_shape=(3, 6, 8)),
            "layer 'conv1': weight expects 2 channels, the input has 3",
        ),
        (
            lambda: network(input_shape=(2, 8, 8)),
            "layer 'fc1': weight expects 48 inputs, .* 4×4×4 = 64",
        ),
        (
            lambda: network(readout=Readout(np.ones((3, 6)))),
            "readout: weight expects 6 inputs, layer 'fc1' has 5",
        ),
        (lambda: network(layers=()), "needs at least one layer"),
        (
            lambda: network(encoder="latency"),
            "encoder is 'latency', expected 'poisson', 'spikes', 'constant-current', '",
        ),
        (
            lambda: network(conv=np.full_like(CONV, np.nan)),
            "layer 'conv1': weight must be finite numbers",
        ),
        (lambda: Layer("conv 1", CONV, LIF(0.9)), "layer 'conv 1': expected a name such as"),
        (lambda: Layer("conv1", CONV, LIF(1.1)), "layer 'conv1': leak is 1.1, expected 0 … 1"),
        (lambda: Layer("conv1", CONV, LIF(0.9, 0.0)), "threshold is 0.0, expected more than 0"),
        (
            lambda: Layer("conv1", CONV, LIF(0.9, min_v_mem=0.5)),
            "min_v_mem is 0.5, expected -8,388,607 … 0",
        ),
        (
            lambda: Layer("conv1", CONV, LIF(0.9, min_v_mem=[-1.0])),
            r"min_v_mem has shape \(1,\), expected one number",
        ),
        (lambda: fixed(threshold=0), "layer 'fc1': threshold is 0, expected 1 … 8,388,607"),
        (
            lambda: fixed(min_v_mem=-1.5),
            "layer 'fc1': min_v_mem is -1.5, expected an integer ≥ -8388607",
        ),
        (
            lambda: Layer("conv1", CONV[0], LIF(0.9)),
            r"layer 'conv1': weight has shape \(2, 3, 3\), expected \(out, in, y, x\) of Conv or",
        ),
        (
            lambda: conv1(gain=np.ones((2, 3))),
            r"gain has shape \(2, 3\), expected one number, \(4,\), \(1, 4\) or \(T, 4",
        ),
        (lambda: fixed([[1, -128]]), "layer 'fc1': got a weight of -128, expected -127 … 127"),
        (
            lambda: Readout(np.int8([[1, -128]])),
            "readout: got a weight of -128, expected -127 … 127",
        ),
        (
            lambda: Layer("fc1", Conv(DENSE, stride=2), LIF(0.9)),
            r"layer 'fc1': weight has shape \(5, 48\), expected \(out, in, y, x\) of Conv",
        ),
        (
            lambda: conv1(pooling="median"),
            "pooling is 'median', expected 'average', 'sum' or 'max'",
        ),
        (
            lambda: network(
                layers=(conv1(current_pool=(8, 2), current_padding=(1, 0)),), input_shape=(2, 7, 8)
            ),
            r"layer 'conv1': current_pool \(8, 2\) does not fit its 5×6 currents with "
            r"current_padding \(1, 0\)",
        ),
        (
            lambda: network(layers=(conv1(current_pool=10**9, current_padding=10**8 * 5),)),
            "layer 'conv1': current_pool 1000000000 does not fit its",
        ),
        (
            lambda: conv1(current_pool=3, current_padding=2),
            "current_padding is 2, expected at most half of current_pool",
        ),
        (lambda: conv1(current_stride=0), "layer 'conv1': current_stride is 0, expected an"),
        (
            lambda: network(layers=(MAXIMUM,), input_shape=(4, 6, 8), encoder="constant-current"),
            "layer 'fc1': pooling is 'max', expected 'average' in front of a current",
        ),
        (
            lambda: network(input_range=3),
            "input_range is 3.0 of the encoder 'poisson', expected 2.0, and more than 0",
        ),
        (
            lambda: network(encoder="changing-current", input_range=0),
            "input_range is 0.0 of the encoder 'changing-",
        ),
        (lambda: Readout(np.ones((2, 3)), leak=1.5), "readout: leak is 1.5, expected 0 … 1"),
        (
            lambda: Readout(np.int8([[1]]), leak=0.3),
            "readout: leak is 0.3, .* in fixed point a multiple of 1/4096",
        ),
        (
            lambda: Readout(np.ones((2, 3)), bias=[1, 2, 3]),
            r"readout: bias has shape \(3,\), expected one number",
        ),
        (
            lambda: network(readout=Readout(np.ones((3, 5)), bias=np.ones((2, 3)))),
            "readout: bias has 2 steps, .* T =",
        ),
        (lambda: network(2.0), "network: timesteps is 2.0, expected an integer ≥ 1"),
        (
            lambda: network(input_shape=(2, 6)),
            r"input_shape is \(2, 6\), expected three positive integers \(C, H, W\)",
        ),
        (
            lambda: network(input_shape=(2, 6, "8")),
            "a side of input_shape is '8', expected an integer ≥ 1",
        ),
        (lambda: network(layers=[3]), "network: expected a sequence of Layer and a Readout"),
        (
            lambda: network(readout=np.ones((3, 5))),
            "network: expected a sequence of Layer and a Readout",
        ),
        (
            lambda: network(
                layers=(conv1(gain=np.ones((4, 4))),), readout=Readout(np.ones((3, 192)))
            ),
            "layer 'conv1': gain has 4 steps, expected 1 or T = 3",
        ),
        (
            lambda: network(layers=(quantise(network()).layers[0], network().layers[1])),
            "all float32 or all fixed point",
        ),
        (
            lambda: Layer("fc1", np.eye(2), ReLU(limit=0.0)),
            "layer 'fc1': limit is 0.0, expected more than 0, or None",
        ),
        (lambda: two(RELU, LIFS), "got ReLU and spiking neurons in one network, expected either"),
        (
            lambda: two(RELU, encoder="poisson"),
            "encoder is 'poisson', expected 'image' of a network with neurons ReLU",
        ),
        (lambda: two(LIFS), "encoder is 'image', expected an encoder of spikes or currents"),
        (
            lambda: two(RELU, timesteps=2),
            "timesteps is 2, expected 1 of a network with neurons ReLU",
        ),
        (
            lambda: network(70_000),
            "network: timesteps is 70000, expected an integer ≥ 1, at most 65,536",
        ),
        (
            lambda: layers_of(POINT, side=6000),
            "layer 'input': its map is 1×6000×6000, expected at most 16,777,216",
        ),
        (
            lambda: layers_of(Input(Conv(POINT, stride=1 << 28, padding=1 << 30))),
            "layer 'c0': with padding 1073741824 its input is 1×2147483656×2147483656, expected at "
            "most 33,554,432",
        ),
        (lambda: layers_of(*1100 * [POINT]), "network: got 1,100 layers, expected at most 1,024"),
        (
            lambda: layers_of((POINT, *300 * (Input(Identity(), 127 * ("input",)),))),
            "network: got 38,101 sources of layers, expected at most 32,768",
        ),
        (
            lambda: layers_of(*9 * [POINT], side=4096),
            "network: has 167,772,160 neurons with the input, over 3 steps; expected at most "
            "134,217,728",
        ),
        (
            lambda: layers_of(POINT, side=1024, timesteps=60_000),
            "over 60,000 steps; expected .*, and neurons times steps at most 17,179,869,184",
        ),
        (
            lambda: conv1(padding=(1, 2, 3)),
            r"padding is \(1, 2, 3\), expected an integer ≥ 0, or a pair \(y, x\)",
        ),
        (lambda: conv1(padding=(1, -2)), "padding is -2, expected an integer ≥ 0"),
        (lambda: conv1(padding="same"), "padding is 'same', expected an integer ≥ 0"),
        (lambda: conv1(padding=-1), "padding is -1, expected an integer ≥ 0"),
        (lambda: conv1(stride=1.5), "stride is 1.5, expected an integer ≥ 1"),
        (lambda: conv1(stride=(0, 0)), "stride is 0, expected an integer ≥ 1"),
        (lambda: conv1(pool=None), "pool is None, expected an integer ≥ 1"),
        (lambda: Layer("conv1", [[1, "a"]], LIF(0.9)), "weight must be finite numbers"),
        (
            lambda: Layer("conv1", [[1, 2], [3]], LIF(0.9)),
            "weight cannot be made an array of numbers: ",
        ),
        (lambda: Layer("conv1", CONV, 0.9), "neuron is 0.9, expected LIF, FixedLIF or ReLU"),
        (lambda: Layer("conv1", CONV, LIF("0.9")), "leak is '0.9', expected a finite number"),
        (
            lambda: Layer("conv1", CONV, LIF(0.9, np.inf)),
            "threshold is inf, expected a finite number",
        ),
        (
            lambda: Layer("conv1", CONV, LIF([0.9, 0.8])),
            r"leak has shape \(2,\), expected one number or \(4,\)",
        ),
        (
            lambda: Layer("conv1", CONV, LIF(0.9, reset="hard")),
            "reset is 'hard', expected 'subtract' or 'zero'",
        ),
        (
            lambda: Layer("conv1", CONV, LIF(0.9, reset="zero", reset_by=1)),
            "reset_by is 1, expected none beside reset 'zero'",
        ),
        (
            lambda: Layer("conv1", CONV, LIF(0.9, reset_by=-0.5)),
            "reset_by is -0.5, expected 0 … 8,388,607",
        ),
        (
            lambda: Layer("conv1", CONV, LIF(0.9, synaptic_leak=1.5)),
            "synaptic_leak is 1.5, expected 0 … 1",
        ),
        (lambda: Layer(7, CONV, LIF(0.9)), "expected a name such as 'conv1'"),
    ],
)
def test_parts_that_do_not_fit(build, message):
    with pytest.raises(NetworkError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def test_deep_long_and_large_networks_are_none_of_these():
    assert len(layers_of(*600 * [POINT]).shapes) == 601
    assert network(10_000).timesteps == 10_000
    vgg = [
        (6, 224, 64),
        (64, 224, 64),
        (64, 112, 128),
        (128, 112, 128),
        (128, 56, 256),
        (256, 56, 256),
    ]
    layers = [
        Layer(
            f"c{number}",
            Conv(np.ones((out, given, 1, 1), np.float32), pool=2 if number in (2, 4) else 1),
            LIF(1),
        )
        for number, (given, _, out) in enumerate(vgg)
    ]
    readout = Readout(np.ones((1, 256 * 56 * 56), np.float32))
    assert Network((6, 224, 224), 1000, layers, readout).shapes[-1] == (256, 56, 56)
    doubled = Network(
        (6, 512, 512), 32, layers[:1], Readout(np.ones((1, 64 * 512 * 512), np.float32))
    )
    assert doubled.shapes[-1] == (64, 512, 512)


def test_one_neuron_for_several_layers():
    neuron = LIF(0.9, bias=0.5)
    layers = (
        Layer("conv1", Input(Conv(CONV[:1], padding=1)), neuron),
        Layer("fc1", Dense(DENSE[:, :12], pool=2), neuron),
    )
    assert [layer.inputs[0].gain.shape for layer in layers] == [(1, 1), (1, 5)]
    assert neuron.bias == 0.5
    shared = ReLU()
    assert Layer("fc1", DENSE, shared).neuron is not shared


def test_one_value_per_channel_is_enough():
    layer = Layer("conv1", Input(CONV, gain=[1, 2, 3, 4]), LIF(0.9, bias=np.arange(4.0)[None]))
    gain = layer.inputs[0].gain
    assert (gain.tolist(), layer.neuron.bias.tolist()) == ([[1, 2, 3, 4]], [[0, 1, 2, 3]])
    assert gain.dtype == np.float64


def test_constants_that_are_the_same_everywhere_are_one_number():
    """So that a network has one identity, however it was written down."""
    layer = Layer("conv1", CONV, LIF([0.5] * 4, np.ones(4), reset_by=1, synaptic_leak=np.zeros(4)))
    assert (layer.neuron.leak, layer.neuron.threshold, layer.neuron.synaptic_leak) == (
        0.5,
        1.0,
        0.0,
    )
    assert layer.neuron.reset_by is None  # the threshold, which is what it is anyway
    assert layer.to_graph("input")[0] == Layer("conv1", CONV, LIF(0.5)).to_graph("input")[0]
    assert Layer("conv1", CONV, LIF([0.5, 0.5, 0.5, 0.75])).neuron.leak.tolist() == [
        0.5,
        0.5,
        0.5,
        0.75,
    ]


def test_everything_a_network_can_hold_survives_its_file(tmp_path):
    held = [-1.0, -0.5, -0.25, 0.0]
    resets = {"reset": "subtract", "reset_by": 0.25, "fires_at_threshold": True, "min_v_mem": held}
    neuron = LIF(
        [0.5, 0.6, 0.7, 0.8], [1, 2, 3, 4], bias=0.5, synaptic_leak=[0.1, 0.2, 0.3, 0.4], **resets
    )
    pooled = Input(
        Conv(CONV, padding=1, current_pool=(3, 1), current_stride=(2, 1), current_padding=(1, 0))
    )
    last = Layer("fc1", Dense(DENSE[:, :4], pool=(3, 6), pooling="max"), LIF(0.9, reset="zero"))
    readout = Readout(np.ones((3, 5)), leak=0.5, bias=np.ones((3, 3)))
    everything = network(
        layers=(Layer("conv1", pooled, neuron), last), input_shape=(2, 6, 6), readout=readout
    )
    driven = replace(everything, encoder="changing-current", input_range=2.64)
    fixed = quantise(everything)
    conv, dense = fixed.layers
    of_a_chip = replace(
        conv, neuron=replace(conv.neuron, threshold=[1600, 300, 4096, 1], min_v_mem=-5)
    )
    chip = replace(
        fixed, layers=(of_a_chip, replace(dense, neuron=replace(dense.neuron, threshold=1600)))
    )
    relu = tuple(replace(layer, neuron=ReLU()) for layer in network().layers)
    ann, constant = (
        Network((2, 6, 8), 1, relu, network().readout, "image"),
        network(encoder="constant-current"),
    )
    for given in (
        everything,
        fixed,
        chip,
        replace(everything, encoder="spikes"),
        driven,
        constant,
        ann,
    ):
        write_network(given, tmp_path / "network.safetensors", {"note": "kept"})
        found, metadata = read_network(tmp_path / "network.safetensors")
        assert (found.sha256, found.to_graph()[0]) == (given.sha256, given.to_graph()[0])
        assert (found.precision, found.kind, metadata) == (
            given.precision,
            given.kind,
            {"note": "kept"},
        )


def test_windows_side_by_side_are_described_as_ever():
    for given in ({}, {"current_stride": 2}, {"current_stride": (2, 2), "current_padding": (0, 0)}):
        inputs = [Input(Conv(CONV, current_pool=2, **given), source) for source in ((), "input")]
        node = Layer("conv1", inputs, LIF(0.9)).to_graph("input")[0]
        assert not {"current_stride", "current_padding"} & (node.keys() | node["more"][0].keys())
    node = conv1(current_pool=3, current_stride=2, current_padding=1).to_graph("input")[0]
    assert (node["current_pool"], node["current_stride"], node["current_padding"]) == (3, 2, 1)


def test_constants_that_files_may_leave_out_are_not_written_where_they_are_the_default():
    for given, usual in ((network(), {}), (quantise(network()), {"threshold": 4096})):
        node = neurons.to_graph(given.layers[0].neuron)
        assert not node.keys() & {"min_v_mem", *usual}
        said = neurons.from_graph(
            {**node, **usual, "min_v_mem": None}, given.to_graph()[1], "conv1"
        )
        assert neurons.to_graph(said.of_channels(4)) == node


def test_pairs_as_torch_writes_them_and_other_array_types():
    torch = pytest.importorskip("torch")
    conv = torch.nn.Conv2d(2, 4, 3, stride=2, padding=1)
    given = Input(
        Conv(conv.weight.detach(), pool=np.int64(2), stride=conv.stride, padding=conv.padding)
    )
    layer = Layer("conv1", given, LIF(0.9))
    assert (
        layer.inputs[0].synapse.stride,
        layer.inputs[0].synapse.padding,
        layer.inputs[0].synapse.pool,
    ) == (2, 1, 2)
    assert Layer("conv1", Input(Conv(CONV, stride=[2, 1])), LIF(1)).inputs[0].synapse.stride == (
        2,
        1,
    )
    assert np.array_equal(layer.inputs[0].weight, conv.weight.detach().numpy())
    assert Layer("fc1", [[1, 2], [3, 4]], LIF(1)).inputs[0].weight.tolist() == [[1, 2], [3, 4]]


HUGE = 3e38  # float32 holds it, but not the sum of two


@pytest.mark.parametrize(
    ("build", "where"),
    [
        (lambda: network(conv=np.full_like(CONV, HUGE)), "layer 'conv1'"),
        (lambda: network(dense=np.sign(DENSE) * HUGE), "layer 'fc1'"),
        (lambda: network(readout=Readout(np.full((3, 5), HUGE))), "readout"),
        (lambda: network(readout=Readout(np.ones((3, 5)), bias=-HUGE)), "readout"),
        (lambda: network(readout=Readout(np.ones((3, 5)), scale=1e300)), "readout"),
        (lambda: with_neuron(LIF(0.9), gain=-1e200), "layer 'conv1'"),
        (lambda: with_neuron(LIF(0.9, bias=HUGE)), "layer 'conv1'"),
        (
            lambda: with_neuron(LIF(1.0, bias=-1e29), timesteps=20),
            "layer 'conv1'",
        ),  # as large only after 13 steps
        (
            lambda: with_neuron(LIF(0.9, threshold=1e39)),
            "layer 'conv1'",
        ),  # infinite in float32: would never fire
    ],
)
def test_a_network_that_could_leave_float32_is_refused(build, where):
    with pytest.raises(
        NetworkError, match=rf"^{where}: what its numbers sum to over \d+ steps could reach ."
    ) as error:
        build()
    assert "\n" not in str(error.value)


def with_neuron(neuron, timesteps=3, gain=1):
    layer = Layer("conv1", Input(Conv(CONV, padding=1), gain=gain), neuron)
    return network(timesteps, layers=(layer,), readout=Readout(np.ones((3, 192))))


def test_identity_depends_on_every_number():
    same, other = network(), network()
    assert same.sha256 == other.sha256
    changed = CONV.copy()
    changed[3, 1, 2, 2] += 1e-3
    assert network(conv=changed).sha256 != same.sha256
    assert network(4).sha256 != same.sha256
    assert quantise(same).sha256 != same.sha256


def test_arrays_cannot_be_changed_behind_the_identity():
    weight = CONV.astype(np.float32)
    built = network(conv=weight)
    before = built.layers[0].inputs[0].weight.copy()
    weight[:] = 0
    assert np.array_equal(built.layers[0].inputs[0].weight, before)
    with pytest.raises(ValueError, match="read-only"):
        built.layers[0].inputs[0].weight[:] = 0


def test_files_that_are_not_networks(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(NetworkError, match="missing.safetensors: no such file"):
        read_network(tmp_path / "missing.safetensors")
    save_file({"a": np.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(NetworkError, match="other.safetensors: is not a network: format is None"):
        read_network(tmp_path / "other.safetensors")
    graph, tensors = network().to_graph()
    del tensors["fc1.gain"]
    with pytest.raises(NetworkError, match=r"incomplete or malformed: KeyError\('fc1.gain'\)"):
        Network.from_graph(graph, tensors)


def test_relu_by_hand():
    neuron = Layer("fc1", np.eye(2), ReLU([1, -1], limit=[2, 3.5])).neuron
    assert (neuron.bias.tolist(), neuron.limit.tolist()) == ([[1, -1]], [2, 3.5])
