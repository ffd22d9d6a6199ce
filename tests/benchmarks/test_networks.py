"""Networks that fire as often as asked, and the work that simulating them takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.common.networks import (
    SMALL,
    TINY,
    additions,
    multiplications,
    random_network,
    random_spikes,
    spike_rates,
)
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise


@settings(max_examples=8)
@given(rate=st.floats(0.05, 0.95), seed=st.integers(0, 9))  # the bias of a layer that always fires is not determined
def test_every_layer_fires_about_as_often_as_asked(rate, seed):
    network = quantise(random_network(SMALL._replace(timesteps=12), rate, seed))
    spikes = random_spikes(network.input_shape, network.timesteps, 2, rate, seed + 1)
    rates = spike_rates(network, list(EventBackend(1).run(network, [spikes], 2)))
    assert all(abs(found - rate * 11 / 12) < 0.05 for name, found in rates.items() if name != "input"), rates


def test_the_same_seed_is_the_same_network():
    random_network.cache_clear()
    first = random_network(TINY, 0.2, 0).sha256
    random_network.cache_clear()
    assert random_network(TINY, 0.2, 0).sha256 == first
    assert random_network(TINY, 0.2, 1).sha256 != first


def test_wider_means_more_channels_and_dense_neurons():
    assert TINY.widened(3).layers == ("12", "P", "24", "P4", "D24")


def test_work_by_hand():
    layers = (
        Layer("conv1", Input(np.ones((5, 2, 3, 3), np.float32), padding=1), LIF(0.9)),
        Layer("fc1", Input(np.ones((3, 20), np.float32), pool=2), LIF(0.9)),
    )
    network = Network((2, 4, 4), 10, layers, Readout(np.ones((2, 3), np.float32)))
    rates = {"input": 0.5, "conv1": 0.25, "fc1": 1.0}
    # Per step, 16 input spikes reach 9·5 weights each, 20 spikes of conv1 3 each; what fc1 sends goes to the readout.
    assert additions(network, rates) == pytest.approx(10 * (16 * 45 + 20 * 3))
    # 80 neurons with 2·9 weights, 3 neurons with 20.
    assert multiplications(network) == 10 * (80 * 18 + 3 * 20)
