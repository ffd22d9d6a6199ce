"""`assert_same_spikes`: what is equal passes, and a fault is found and named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.testing import assert_same_spikes

T = 40
WEIGHT = np.random.default_rng(0).integers(-8, 16, (5, 6)).astype(np.float32) / 16
SPIKES = np.random.default_rng(1).random((T, 2, 6, 1, 1)) < 0.4


def network(reset: Any) -> Network:
    """One dense layer of an IF neuron, whose sums are exact."""
    layer = Layer("fc1", Input(WEIGHT), LIF(1.0, reset=reset))
    return Network((6, 1, 1), T, (layer,), Readout(np.eye(5)), "spikes")


def fired(of: Network) -> dict[str, np.ndarray]:
    raster = spikesam.simulate(of, SPIKES, precision="float32")
    return {name: raster[name][:].swapaxes(0, 1) for name in raster}


NETWORK = network("zero")


def test_equal_spikes_pass(tmp_path: Path) -> None:
    arrays = fired(NETWORK)
    path = spikesam.write_raster(tmp_path / "a.h5", arrays, layer_delay=1)
    with spikesam.open_raster(path) as raster:
        assert_same_spikes(raster, path)
        assert_same_spikes(raster, NETWORK, precision="float32")
    assert_same_spikes(arrays, {name: each.copy() for name, each in arrays.items()})
    assert_same_spikes(SPIKES, SPIKES.astype(np.float32))


def test_a_seeded_fault_is_found_and_named(tmp_path: Path) -> None:
    path = spikesam.write_raster(tmp_path / "theirs.h5", fired(network("subtract")), layer_delay=1)
    ours = spikesam.simulate(NETWORK, SPIKES, precision="float32")
    with pytest.raises(AssertionError, match="^the spikes differ in ") as caught:
        assert_same_spikes(path, ours, NETWORK)
    assert "first that differs: fc1, step " in str(caught.value)
    assert "with a reset by subtraction, fc1 fires all that A has" in str(caught.value)


def test_layers_are_chosen(tmp_path: Path) -> None:
    one, other = {"a": SPIKES, "b": SPIKES}, {"a": SPIKES, "b": ~SPIKES}
    assert_same_spikes(one, other, layers=["a"])
    with pytest.raises(
        AssertionError,
        match=r"(?s)first that differs: b, step 0, sample 0, neuron \(0, 0, 0\): B fir",
    ):
        assert_same_spikes(one | {"a": ~SPIKES}, other | {"a": SPIKES}, layers=["b"])
    with pytest.raises(AssertionError, match="b has no layer 'b', but a"):
        assert_same_spikes(one, {"a": SPIKES})
    with pytest.raises(
        AssertionError, match="b alone has layer 'b'; layers= says which to compare"
    ):
        assert_same_spikes({"a": SPIKES}, one)
    with pytest.raises(spikesam.InputError, match="a: got a dictionary, expected arrays by layer"):
        assert_same_spikes({"a": 3}, one)
    with pytest.raises(spikesam.InputError, match="got two models, expected a raster among them"):
        assert_same_spikes(NETWORK, NETWORK)
