"""`assert_same_spikes`: what is equal passes, and three seeded faults are found and named."""

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


def network(leak: float = 1.0, **neuron: Any) -> Network:
    """One dense layer of an IF neuron that is reset to zero, or with a fault, whose sums are exact."""
    layer = Layer("fc1", Input(WEIGHT), LIF(leak, **neuron))
    return Network((6, 1, 1), T, (layer,), Readout(np.eye(5)), "spikes")


def fired(of: Network) -> dict[str, np.ndarray]:
    raster = spikesam.simulate(of, SPIKES, precision="float32")
    return {name: raster[name][:].swapaxes(0, 1) for name in raster}


NETWORK = network(reset="zero")


def test_equal_spikes_pass(tmp_path: Path) -> None:
    arrays = fired(NETWORK)
    path = spikesam.write_raster(tmp_path / "a.h5", arrays, layer_delay=1)
    with spikesam.open_raster(path) as raster:
        assert_same_spikes(raster, path)
        assert_same_spikes(raster, NETWORK, precision="float32")
    assert_same_spikes(arrays, {name: each.copy() for name, each in arrays.items()})
    assert_same_spikes(SPIKES, SPIKES.astype(np.float32))


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (network(leak=0.0, reset="zero"), "with a leak of 0, fc1 fires all that A has"),
        (network(reset="subtract"), "with a reset by subtraction, fc1 fires all that A has"),
        (None, "with inputs that act one step later, fc1 fires all that A has"),
    ],
    ids=["the leak of an IF is 0", "reset swapped", "one step late"],
)
def test_a_seeded_fault_is_found_and_named(fault: Network | None, cause: str, tmp_path: Path) -> None:
    arrays = fired(fault or NETWORK)
    if fault is None:
        arrays["fc1"] = np.concatenate([0 * arrays["fc1"][:, :1], arrays["fc1"][:, :-1]], axis=1)
    path = spikesam.write_raster(tmp_path / "theirs.h5", arrays, layer_delay=1)
    ours = spikesam.simulate(NETWORK, SPIKES, precision="float32")
    with pytest.raises(AssertionError) as caught:
        assert_same_spikes(path, ours, NETWORK)
    text = str(caught.value)
    assert text.startswith("the spikes differ in ")
    assert "first that differs: fc1, step " in text
    assert cause in text


def test_layers_are_chosen(tmp_path: Path) -> None:
    one, other = {"a": SPIKES, "b": SPIKES}, {"a": SPIKES, "b": ~SPIKES}
    assert_same_spikes(one, other, layers=["a"])
    with pytest.raises(AssertionError, match=r"(?s)first that differs: b, step 0, sample 0, neuron \(0, 0, 0\): B fir"):
        assert_same_spikes(one | {"a": ~SPIKES}, other | {"a": SPIKES}, layers=["b"])
    with pytest.raises(AssertionError, match="b has no layer 'b', but a"):
        assert_same_spikes(one, {"a": SPIKES})
    with pytest.raises(AssertionError, match="b alone has layer 'b'; layers= says which to compare"):
        assert_same_spikes({"a": SPIKES}, one)
    with pytest.raises(spikesam.InputError, match="a: got a dictionary, expected arrays by layer"):
        assert_same_spikes({"a": 3}, one)
    with pytest.raises(spikesam.InputError, match="got two models, expected a raster among them"):
        assert_same_spikes(NETWORK, NETWORK)
