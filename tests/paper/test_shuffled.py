"""Spikes whose times are shuffled."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from paper.common.shuffled import all_times_shuffled, earlier_times_shuffled
from spikesam.pipeline.maps.sam import spike_activation_map, spike_activation_maps, spike_count_map

SHAPE = (2, 1, 2)


def packed(trains: list[list[int]]) -> NDArray[np.uint8]:
    """Spike trains of the four neurons of two channels and two pixels."""
    return np.packbits(np.array(trains, np.uint8).T, axis=1)


TRAINS = [[0, 1, 0, 1, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]]


def test_earlier_spikes_at_random_by_hand() -> None:
    maps = earlier_times_shuffled(packed(TRAINS), SHAPE, 0.5, 1)
    decay = np.exp(-0.5)
    assert maps[3, 0].tolist() == pytest.approx([1 + (decay + decay**2) / 2, 1 + 2 * (decay + decay**2) / 2])
    assert maps[1, 0].tolist() == [1, 1]


def test_earlier_spikes_at_random_are_the_mean_over_all_ways_to_lay_them() -> None:
    """One neuron fires at the last of five steps and twice before, anywhere in steps 1 to 3."""
    ways = []
    for places in combinations([1, 2, 3], 2):
        train = np.zeros((5, 1, 1, 1, 1), np.bool_)
        train[[*places, 4]] = True
        ways.append(spike_activation_map(train, 0.7)[4].item())
    found = earlier_times_shuffled(np.array([[0], [128], [128], [0], [128]], np.uint8), (1, 1, 1), 0.7, 1)
    assert found[4].item() == pytest.approx(np.mean(ways))


def test_all_times_at_random_keep_how_often_a_neuron_fires() -> None:
    random = np.random.default_rng(0)
    bits = random.random((12, 4)) < 0.4
    bits[:2] = False
    spikes = np.packbits(bits, axis=1)
    maps = all_times_shuffled(spikes, SHAPE, 1e3, 2, random)  # which is the spike count
    np.testing.assert_array_equal(maps.sum(axis=0), spike_count_map(spikes, SHAPE).sum(axis=0))
    assert not maps[:2].any()
    assert not np.array_equal(maps, spike_activation_maps(spikes, SHAPE, [1e3])[0])
