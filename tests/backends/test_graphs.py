"""Networks whose layers read several others: every backend equals the equations, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from backends.network import Network
from tests.backends.graphs import FLOAT, graphs
from tests.backends.test_contract import assert_same, simulate
from tests.reference import simulate_reference

GRAPH_BACKENDS = ("torch", "event")


def check(backend: str, network: Network) -> None:
    rng = np.random.default_rng(1)
    samples = [rng.random((network.timesteps, *network.input_shape)) < density for density in (0.1, 0.5, 0.9)]
    inputs = np.stack(samples, axis=1)
    expected, expected_readout = simulate_reference(network, inputs)
    found, readout = simulate(backend, network, inputs, (2, 1))
    assert_same(network, found, expected)
    assert np.array_equal(readout, expected_readout)


@pytest.mark.parametrize("backend", GRAPH_BACKENDS)
@given(network=graphs())
@settings(max_examples=40)
def test_any_graph_in_fixed_point(backend: str, network: Network) -> None:
    check(backend, network)


@pytest.mark.parametrize("backend", GRAPH_BACKENDS)
@given(network=graphs(FLOAT))
@settings(max_examples=30)
def test_any_graph_in_float32(backend: str, network: Network) -> None:
    """Of numbers whose sums float32 holds, so that no order of additions matters."""
    check(backend, network)
