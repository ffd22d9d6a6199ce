"""A kind of synapses that is a class alone: the event backend computes it, a graph keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import (
    LIF,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Shape,
    Source,
    Synapse,
)
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.synapses import KINDS
from spikesam.recordings.raster.batch import unpack
from tests.reference import simulate_reference


@dataclass(frozen=True, eq=False, repr=False)
class Hadamard(Synapse):
    """Products of the spikes of two layers, neuron by neuron: a = x · y."""

    kind = "hadamard"
    meets = "multiplies"

    def checked_fields(self, dtype: Any) -> dict[str, Any]:
        return {}

    def summands(self, of_sources: Sequence[Any]) -> list[list[Any]]:
        return [[of_source] for of_source in of_sources]

    def arriving(self, given: Input, shape: Shape, before: str) -> Shape:
        return 2 * shape[0], *shape[1:]

    def unpooled_shape(self, given: Input, seen: Shape, before: str) -> Shape:
        return seen[0] // 2, *seen[1:]

    def currents(self, given: Input, x: NDArray[Any]) -> NDArray[np.float64]:
        first, second = np.split(x.astype(np.float64), 2)
        return first * second

    def reach(self, given: Input, place: Shape, shape: Shape) -> list[NDArray[np.bool_]]:
        mask = np.zeros(shape, np.bool_)
        mask[place] = True
        return [mask, mask]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(KINDS, Hadamard.kind, Hadamard)


def gated() -> Network:
    """Spikes of `a` pass where the input fired two steps before."""
    rng = np.random.default_rng(0)
    layers = (
        Layer("a", rng.normal(0.3, 1, (2, 2, 1, 1)), LIF(0.5)),
        Layer("gated", Input(Hadamard(), ("a", Source("input", 2)), 2.5), LIF(0.0)),
        Layer("out", rng.normal(0.3, 1, (3, 24)), LIF(0.5)),
    )
    return Network((2, 3, 4), 9, layers, Readout(rng.normal(size=(2, 3))), "spikes")


@pytest.mark.parametrize("precision", ["float32", "fixed"])
def test_the_event_backend_computes_a_new_kind_by_its_currents(precision):
    network = gated() if precision == "float32" else quantise(gated())
    spikes = np.random.default_rng(1).random((9, 3, 2, 3, 4)) < 0.4
    (result,) = EventBackend(threads=1).run(network, iter([spikes]), 3)
    rasters = {name: unpack(result.spikes[name], shape) for name, shape in network.shape_of.items()}
    # two spikes bring 2.5, more than the threshold of 1 and the 1 of a reset
    assert np.array_equal(rasters["gated"][2:], rasters["a"][1:-1] & spikes[:-2])
    assert rasters["gated"].any()
    expected, readout = simulate_reference(network, spikes)
    assert all(map(np.array_equal, rasters.values(), expected))
    rounding = 0 if precision == "fixed" else 1e-6  # of float32
    np.testing.assert_allclose(result.readout, readout, rtol=rounding)


def test_a_graph_keeps_a_new_kind():
    network = gated()
    again = Network.from_graph(*network.to_graph())
    assert isinstance(again.layers[1].inputs[0].synapse, Hadamard)
    assert again.sha256 == network.sha256


def test_torch_refuses_a_new_kind_by_name():
    backend = pytest.importorskip("spikesam.backends.torch.backend").TorchBackend(device="cpu")
    with pytest.raises(NetworkError, match="torch: got synapses of the kind 'hadamard', expected"):
        list(backend.run(gated(), iter([np.zeros((9, 1, 2, 3, 4), np.bool_)]), 1))
