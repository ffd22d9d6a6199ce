"""Compact networks: int8 weights before and after, the same bits from disk,
a quarter of the size.
"""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spikesam.backends.network import LIF, Conv, Input, Layer, Network, NetworkError, Readout, ReLU
from spikesam.backends.network.compact import compact
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import read_network, write_network

NUMBERS = st.floats(-4, 4, width=32)


def network(weight, neuron=None, encoder="spikes", timesteps=3):
    gain = 1 if neuron else np.linspace(0.1, 1.3, 3 * len(weight)).reshape(3, -1)
    layer = Layer(
        "conv1", Input(Conv(weight, padding=1), gain=gain), neuron or LIF(leak=0.9, bias=1 / 3)
    )
    readout = Readout(
        np.linspace(-1, 1, 2 * 4 * len(weight), dtype=np.float32).reshape(2, -1), bias=0
    )
    return Network((2, 2, 2), timesteps, (layer,), readout, encoder)


def test_a_weight_worked_by_hand():
    weight = np.zeros((1, 2, 3, 3), np.float32)
    weight[0, 0, 0] = 2.54, 0.011, -0.0301  # a unit is 0.02: 127, 0.55 and -1.505 units
    found = compact(network(weight)).layers[0].inputs[0].weight[0, 0, 0]
    np.testing.assert_array_equal(found, np.float32([2.54, 0.02, -0.04]))


@given(arrays(np.float32, (3, 2, 3, 3), elements=NUMBERS))
@example(np.float32([2.0, *[2.0**-7] * 53]).reshape(3, 2, 3, 3))  # which rounds to multiples of 2/3
def test_fixed_point_keeps_its_weights_and_rounding_again_changes_nothing(weight):
    rounded = compact(network(weight))
    assert compact(rounded).sha256 == rounded.sha256
    drives, gains = [], []
    for of in (quantise(network(weight)), quantise(rounded)):
        (each,), neuron = of.layers[0].inputs, of.layers[0].neuron
        gains.append(np.abs(each.gain).min())
        drives.append(
            each.weight * (each.gain[..., None, None, None] / 2**each.shift / neuron.threshold)
        )
    np.testing.assert_allclose(*drives, rtol=2 / max(1, min(gains)))


@given(arrays(np.float32, (3, 2, 3, 3), elements=NUMBERS), st.booleans())
def test_a_file_gives_the_same_bits(tmp_path_factory, weight, round_first):
    path = tmp_path_factory.mktemp("compact") / "network.safetensors"
    written = compact(network(weight)) if round_first else network(weight)
    write_network(written, path, {"note": "kept"})
    read, metadata = read_network(path)
    assert (read.sha256, metadata) == (written.sha256, {"note": "kept"})


@pytest.mark.parametrize(
    "held",
    [{}, {"neuron": ReLU(), "encoder": "image", "timesteps": 1}],
    ids=["spiking", "artificial"],
)
def test_a_file_takes_a_byte_for_each_weight(tmp_path, held):
    weight = np.random.default_rng(0).normal(size=(400, 2, 3, 3)).astype(np.float32)
    sizes = []
    for number, each in enumerate((network(weight, **held), compact(network(weight, **held)))):
        write_network(each, path := tmp_path / f"{number}.safetensors")
        sizes.append(path.stat().st_size)
        assert read_network(path)[0].precision == "float32"
    weights = 400 * 18 + 2 * 4 * 400
    assert sizes[0] - sizes[1] > 3 * weights - 400  # scales and their names


def test_fixed_point_is_compact_already():
    with pytest.raises(NetworkError, match="is in fixed point already, whose weights are int8"):
        compact(quantise(network(np.ones((1, 2, 3, 3), np.float32))))


def test_a_scale_without_its_weight_is_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    from spikesam.backends.network.storage import network_file_digest

    path = tmp_path / "network.safetensors"
    written = compact(network(np.ones((1, 2, 3, 3), np.float32)))
    write_network(written, path)
    tensors = load_file(path) | {"conv9.weight_scale": np.ones(1)}
    described = {
        "format": "spikesam-network",
        "schema_version": "1",
        "graph": json.dumps(written.to_graph()[0]),
        "packed": "int8",
    }
    save_file(tensors, path, described | {"sha256": network_file_digest(described, tensors)})
    with pytest.raises(
        NetworkError, match="a scale for every int8 weight, but 'conv9.weight_scale' has no partner"
    ):
        read_network(path)
