"""Bands: layers without places, in the NIR paper's recurrent network for Braille letters."""

from pathlib import Path

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import Network
from spikesam.pipeline.maps.relevance import logits_of, relevance
from spikesam.pipeline.networks.recorded import recorded_network

STEPS, GAMMA = 96, 0.25
Recorded = tuple[Network, spikesam.RasterReader]


@pytest.fixture(scope="module")
def braille(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """It has no biases, and subtracts: all of a logit is passed back to what it felt."""
    network = spikesam.from_nir(shared / "data/networks/braille/braille_sub.nir", STEPS, reset="subtract")
    felt = np.random.default_rng(0).random((STEPS, 3, 12, 1, 1)) < 0.2
    raster = spikesam.simulate(network, felt, out=tmp_path_factory.mktemp("braille") / "run", backend="event")
    return recorded_network(raster, None), raster


def test_a_score_is_that_of_the_intervals_between_a_neurons_spikes(braille: Recorded) -> None:
    _, raster = braille
    maps = spikesam.explain(raster, gamma=GAMMA, steps="all")
    assert [(name, maps[name].shape) for name in maps] == [("input", (12, 1)), ("fc1", (40, 1)), ("fc2", (7, 1))]
    for name in maps:
        rows = raster[name][0].reshape(raster.timesteps, -1)
        neuron = int(rows.sum(axis=0).argmax())
        first, second, third = np.flatnonzero(rows[:, neuron])[:3]
        band = maps[name][0][:, neuron, 0]
        assert np.flatnonzero(band)[:3].tolist() == [first, second, third]
        near = 1 + np.exp(-GAMMA * (second - first))
        assert band[[first, second, third]] == pytest.approx([1, near, 1 + np.exp(-GAMMA * (third - second)) * near])


@pytest.mark.parametrize("method", ["sam", "relevance"])
def test_a_band_sums_to_the_map_and_to_its_moments(braille: Recorded, method: str) -> None:
    _, raster = braille
    maps = spikesam.explain(raster, method=method, steps="all")
    for name in maps:
        band, until = maps[name][1][:, :, 0], maps[name].steps_that_matter
        silent = ~raster[name][1].reshape(band.shape).any(axis=1)
        assert silent.any() and not band.sum(axis=1)[silent].any()
        if method == "sam":  # of relevance the map is the positive part of a sum in which signs cancel
            assert maps[name].sum[1, :, 0] == pytest.approx(band[:until].sum(axis=0), rel=1e-5)
            assert maps[name].sum[1].sum() == pytest.approx(band.sum(axis=1)[:until].sum(), rel=1e-5)


def test_what_reaches_the_input_is_the_logit(braille: Recorded) -> None:
    network, raster = braille
    for sample in range(3):
        spikes = [raster[name][sample] for name in raster]
        logits = logits_of(network, spikes[-1])
        assert logits.argmax() == raster.predictions[sample] and logits.max() > 0
        felt = [relevance(network, spikes, target)[0].sum() for target in range(7)]
        assert felt == pytest.approx(logits, abs=1e-9)
