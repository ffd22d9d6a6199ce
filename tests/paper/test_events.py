"""events: what the kernel adds on recordings of a moving digit, and spikes whose times are shuffled."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from paper import events
from paper.common.errors_by_kernel import COUNT
from paper.common.event_recordings import masks_over_time, saccade_recordings
from paper.common.shuffled import all_times_shuffled, earlier_times_shuffled
from paper.measures.tables import rows
from spikesam.pipeline.images.datasets.saccade_digits import SaccadeDigits
from spikesam.pipeline.maps.sam import spike_activation_map, spike_activation_maps, spike_count_map
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.recordings.raster.reader import RasterReader
from tests.paper.setups import small_setup

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


def test_energy_is_on_the_digit_of_the_bin_that_has_just_arrived() -> None:
    masks = np.zeros((2, 2, 2), np.bool_)
    masks[0, 0], masks[1, 1] = True, True
    maps = np.zeros((4, 2, 2), np.float32)
    maps[1, 0], maps[2, 1, 0], maps[2, 0, 0], maps[3] = 1, 3, 1, 1
    assert events.firing(maps, masks, 1) == [1, 2]
    found = events.on_the_digit(maps, masks, 1, [1, 2])
    assert found == {events.ENERGY: [1.0, 0.75], events.OVERLAP: [1.0, pytest.approx(1 / 3)]}


def test_masks_of_bins_are_parts_of_the_whole_mask() -> None:
    dataset = SaccadeDigits("val", size=10)
    masks = masks_over_time(dataset, 3, 10_000)
    assert masks.shape == (30, 32, 32)
    whole = dataset[3].mask
    assert whole is not None
    np.testing.assert_array_equal(masks.any(axis=0), whole)
    high = [np.flatnonzero(mask.any(axis=1)).mean() for mask in masks]
    assert high[9] - high[0] > 5, "the first saccade goes down"


def test_the_experiment_on_three_recordings(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, images=3, gammas=(0.0, 0.5))
    setup.out.mkdir()
    result = events.run(setup)
    table = rows(result.table, measure=events.ENERGY, step="all")
    assert set(table["layer"]) == {"conv1", "conv2", "conv3"}
    assert set(table["n"]) == {3}
    of_maps = rows(table, layer="conv2").set_index("map")["mean"]
    assert of_maps["SAM"] > 2 * of_maps[events.AREA]
    assert of_maps["SAM"] > of_maps[events.EVERYTHING]
    added = rows(result.table, measure=events.ENERGY + events.AGAINST_COUNT, gamma=0.0, map="SAM, authors' script")
    assert added["mean"].tolist() == pytest.approx([0, 0, 0], abs=1e-7)  # at γ = 0 that kernel is counting
    assert len(result.claims) == 3 * 5 * 2
    for name in ("events", "events_gamma", "events_maps"):
        assert (setup.out / f"{name}.png").is_file()
    checkpoint = load_checkpoint("saccade-digits")
    recordings = saccade_recordings(checkpoint, 3, 0)
    with RasterReader(setup.recording(checkpoint.network, recordings)) as raster:
        maps = events.maps_of(setup, raster, "conv3", 1)
        again = events.maps_of(setup, raster, "conv3", 1)
    np.testing.assert_array_equal(maps[events.EVERYTHING], again[events.EVERYTHING])
    assert maps[COUNT].shape == maps["SAM"].shape
