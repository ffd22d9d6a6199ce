"""Rivals of relevance on one and two neurons, by hand, and what they have in common with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paper.common.rival_maps import Absence, stabilised, temporal_spike_attribution
from spikesam.backends.network import LIF, Input, Layer, Network, NetworkError, Readout
from spikesam.pipeline.maps.relevance import relevance
from tests.reference import simulate_reference


def fired(network: Network, arrivals: Any) -> list[np.ndarray]:
    """What the layers fire, input (T, C) first: (T, C, 1, 1) each."""
    spikes = np.array(arrivals, bool).reshape(network.timesteps, 1, -1, 1, 1)
    return [raster[:, 0] for raster in simulate_reference(network, spikes)[0]]


TWO = Network((2, 1, 1), 4, (Layer("fc1", [[0.8, 0.6], [1.5, 0]], LIF(0.5)),), Readout([[2.0, -1.0]]), encoder="spikes")
"""Neuron A gets 1.4 at t = 1 and fires; at t = 2 it has 0.7 - 1 + 0.8. B fires at t = 1 and 2: 1.5, 0.75 - 1 + 1.5."""
ARRIVALS = [[1, 1], [1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("absence", "of_input", "of_layer"),
    [
        ("spikes", [[0.1 / 8, 1.2 / 8], [-1.5 / 4, 0], [0, 0], [0, 0]], [[0, 0], [2, -1], [0, -1], [0, 0]]),
        (
            "absent",
            [[0.1 / 8, 1.2 / 8], [-2.3 / 4, 0.6 / 8], [0.05 / 4, 0.6 / 4], [0, 0]],
            [[0, 0], [2, -1], [-1, -1], [-1, 0.5]],
        ),
    ],
)
def test_tsa_by_hand(absence: Absence, of_input: list[list[float]], of_layer: list[list[float]]) -> None:
    """Spikes of the input count (1/2)^(3-t), those of the layer 1, as the readout does not leak; silence of two -1/2.

    At t = 0: 1/8 (0.8 · 2 - 1.5 · 1) and 1/8 (0.6 · 2). At t = 1 neuron A is silent at the next step: -1.5 / 4; or,
    where silence counts, (-0.8 - 1.5) / 4, and for the silent input (-1/2)(-0.6) / 4.
    """
    rasters = fired(TWO, ARRIVALS)
    assert rasters[1].reshape(4, 2).tolist() == [[0, 0], [1, 1], [0, 1], [0, 0]]
    found = temporal_spike_attribution(TWO, rasters, 0, absence)
    np.testing.assert_allclose(found[0].reshape(4, 2), of_input, atol=1e-7)
    np.testing.assert_allclose(found[1].reshape(4, 2), of_layer, atol=1e-7)


def test_tsa_goes_through_convolutions_gains_and_pooling_by_hand() -> None:
    """One place of a window of 2 × 2 fires: a quarter of 1.6, by a gain of 2 at t = 2, times 3 of the readout."""
    layer = Layer("conv1", Input([[[[1.6]]]], gain=[[1.0], [2.0], [1.0]], pool=2), LIF(1.0, threshold=0.1))
    network = Network((1, 2, 2), 3, (layer,), Readout([[3.0]]), encoder="spikes")
    spikes = np.zeros((3, 1, 1, 2, 2), bool)
    spikes[1, 0, 0, 0, 1] = True
    rasters = [raster[:, 0] for raster in simulate_reference(network, spikes)[0]]
    expected = np.zeros((3, 1, 2, 2))
    expected[1, 0, 0, 1] = 1.6 / 4 * 2 * 3
    np.testing.assert_allclose(temporal_spike_attribution(network, rasters, 0)[0], expected, rtol=1e-6)


def test_tsa_refuses_what_it_is_not_defined_for() -> None:
    layer = Layer("conv1", Input([[[[1.0]]]], pool=2, pooling="max"), LIF(0.5))
    network = Network((1, 2, 2), 3, (layer,), Readout([[1.0]]), encoder="spikes")
    rasters = [np.ones((3, 1, 2, 2), bool), np.ones((3, 1, 1, 1), bool)]
    with pytest.raises(NetworkError, match="TSA: got a layer with maximum pooling"):
        temporal_spike_attribution(network, rasters, 0)


def test_a_stabiliser_takes_relevance_at_every_step_by_hand() -> None:
    """v = 0.8, then 0.4 + 0.8 = 1.2 fires, of relevance 1/2; ε = 0.2.

    c[2] = 0.5 / 1.4, c[1] = 0.5 · 0.8 · c[2] / (0.8 + 0.2) = 1/7: 0.8 c[1] and 0.8 c[2] reach the arrivals, of which
    the exact shares are 1/6 and 1/3.
    """
    network = Network((1, 1, 1), 4, (Layer("fc1", [[0.8]], LIF(0.5)),), Readout([[2.0]]), encoder="spikes")
    rasters = fired(network, [1, 1, 0, 0])
    found = relevance(network, rasters, 0, stabilised(0.2))[0].ravel()
    np.testing.assert_allclose(found, [0.8 / 7, 0.8 * 0.5 / 1.4, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(relevance(network, rasters, 0)[0].ravel(), [1 / 6, 1 / 3, 0, 0], rtol=1e-6)


def test_a_small_stabiliser_is_the_signed_rule_and_a_large_one_loses_relevance() -> None:
    network, random = TWO, np.random.default_rng(0)
    rasters = fired(network, random.random((4, 2)) < 0.8)
    exact = relevance(network, rasters, 0)[0]
    assert np.abs(exact).sum() > 0.1
    np.testing.assert_allclose(relevance(network, rasters, 0, stabilised(1e-9))[0], exact, atol=1e-6)
    assert np.abs(relevance(network, rasters, 0, stabilised(1e3))[0]).sum() < 0.01 * np.abs(exact).sum()
