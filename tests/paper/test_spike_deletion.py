"""Spike deletion by relevance, its rivals and SAM, on small untrained networks and few
recordings.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paper import spike_deletion
from paper.common.deletion import BY_PLACES, BY_SPIKES, upper_network
from paper.common.heatmaps import COUNT
from paper.common.settings import load_paper_config
from paper.common.setup import Setup
from paper.measures.deletion import nearest
from paper.measures.deletion import spike_deletion as curve_of
from paper.measures.tables import rows
from paper.spike_deletion import LRP, PAIRS, PARTS, Recorded, maps_of, outgoing_weights, stabilised
from spikesam import (
    LIF,
    Conv,
    Input,
    InputError,
    Layer,
    Network,
    RasterReader,
    Readout,
    load,
    quantise,
)
from spikesam.backends.event.backend import EventBackend
from spikesam.maps import relevance
from spikesam.pipeline.maps.explain import explain_source
from spikesam.recordings.raster.batch import joined
from spikesam.settings import CONFIGS
from spikesam.simulators import PackedSpikes, RasterBatch
from spikesam.training import export_network
from tests.paper.setups import small_setup
from tests.pipeline.small_networks import constant_current_checkpoint, small_model
from tests.reference import simulate_reference


def test_maps_are_compared_in_every_layer_over_both_shares(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, deletion=3)
    result = spike_deletion.run(setup)
    assert len(result.claims) == 3 * 2 * len(PAIRS)
    assert set(result.table["map"]) == {*maps_of(0.5), "random order"}
    assert set(result.table["n"]) == {3} and result.table["mean"].between(0, 1).all()
    for axis, measure in (("spikes", BY_SPIKES), ("places", BY_PLACES)):
        means = rows(result.table, layer="conv2", measure=measure).set_index("map")["mean"]
        what = f"in conv2, by {axis}: relevance deletes better than SAM"
        claim = next(each for each in result.claims if each.what == what)
        assert claim.gain is not None and claim.gain.mean == pytest.approx(
            means["SAM"] - means["relevance"]
        )
    by_spikes, by_places = (
        rows(result.table, layer="conv2", map=COUNT, measure=measure)["mean"].item()
        for measure in (BY_SPIKES, BY_PLACES)
    )
    assert (
        by_spikes > by_places
    )  # where most spikes are goes first: a share of spikes in a smaller share of places
    assert (setup.out / "spike_deletion.png").is_file()
    pd.testing.assert_frame_equal(spike_deletion.run(setup).table, result.table)


def test_recordings_of_events_are_subjects_and_no_images(tmp_path: Path) -> None:
    config = load_paper_config(CONFIGS / "paper" / "saccade_digits.toml")
    config = config.model_copy(
        update={"paper": config.paper.model_copy(update={"images": 2, "deletion": 1})}
    )
    setup = Setup(config, tmp_path, small_setup(tmp_path / "small").cache.console)
    assert len(setup.subjects) == 2
    with pytest.raises(InputError, match="^saccade-digits/val: holds events, expected images"):
        _ = setup.images
    found = spike_deletion.run(setup)
    assert (
        set(found.table["layer"]) == {"input", "conv1", "conv2", "conv3"}
        and found.samples == "saccade-digits/val"
    )


def test_parts_hold_as_many_spikes_as_whole_places_allow() -> None:
    assert nearest(np.array([1, 2, 3, 4, 4]), 4).tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]  # the last place has none
    assert nearest(np.array([9, 10, 11, 12]), 4).tolist() == [0, 1, 4]
    assert nearest(np.zeros(3), 4).tolist() == [0, 1, 3]


def test_a_curve_over_equal_spikes_by_hand() -> None:
    """Places of 3, 1, 0 and 4 spikes, in this order; the answer is lost with the second."""
    spikes = np.zeros((4, 1, 2, 2), bool)
    for place, count in enumerate((3, 1, 0, 4)):
        spikes[:count, 0, place // 2, place % 2] = True

    def answer(rasters: np.ndarray) -> np.ndarray:
        right = np.where(rasters[:, :, 0, 0, 1].any(axis=0), 50.0, -50.0)
        return np.stack([right, -right], axis=1)

    curve = curve_of(answer, spikes, np.array([[4.0, 3], [2, 1]]), steps=2, equal="spikes")
    assert (curve.spikes.tolist(), curve.places.tolist()) == ([0, 0.5, 1], [0, 0.5, 1])
    assert curve.probability.tolist() == pytest.approx([1, 0, 0])
    assert (
        len(curve_of(answer, spikes, np.ones((2, 2)), steps=PARTS, equal="spikes").spikes)
        <= PARTS + 2
    )


def test_maps_are_those_that_the_project_offers(tmp_path: Path) -> None:
    setup, maps = small_setup(tmp_path), maps_of(0.5)
    network = quantise(setup.networks.surrogate.network)
    path = setup.recording(network, setup.images.take(1))
    with RasterReader(path) as raster:
        fired = [raster[name][0] for name in raster]
        matter = [raster.steps_that_matter(name) for name in raster]
        sample = Recorded(network, fired, matter, int(raster.predictions[0]))
        for method, name in (("sam", "SAM"), ("variance-relevance", "relevance of the variance")):
            options = (
                {"gamma": 0.5}
                if method == "sam"
                else {"network": str(path.parent / "network.safetensors")}
            )
            with explain_source(
                raster, tmp_path / f"{method}.h5", method=method, **options
            ) as found:
                for layer, each in zip(raster, maps[name](sample), strict=True):
                    if layer in found:
                        np.testing.assert_allclose(each, found[layer].sum[0], rtol=1e-5, atol=1e-6)
    exact, nearly = (list(maps[name](sample))[1] for name in ("relevance", LRP))
    assert np.corrcoef(exact.ravel(), nearly.ravel())[0, 1] > 0.9


def test_outgoing_weights_are_what_a_unit_spike_adds_to_all_that_it_reaches(tmp_path: Path) -> None:
    """By hand: a window of 2 × 2, weights -1.6 and 0.4, gains 1 and -2; and a readout of two
    classes.
    """
    layer = Layer(
        "conv1",
        Input(Conv([[[[-1.6]]], [[[0.4]]]], pool=2), gain=[[1.0] * 2, [-2.0] * 2]),
        LIF(1.0),
    )
    network = Network((1, 2, 2), 2, (layer,), Readout([[3.0, 1.0], [-1.0, 0.5]]), encoder="spikes")
    one, other = outgoing_weights(network, 0, (1, 2, 2))
    np.testing.assert_allclose(one, np.full((1, 2, 2), 2.0 / 4))
    np.testing.assert_allclose(other, 2 * one)
    assert outgoing_weights(network, 1, (2, 1, 1))[0].ravel().tolist() == [4.0, 1.5]
    spikes = np.zeros((2, 1, 2, 2), bool)
    spikes[[0, 1], 0, 0, [0, 1]] = True
    sample = Recorded(network, [spikes, np.zeros((2, 2, 1, 1), bool)], [2, 2], 0)
    np.testing.assert_allclose(
        next(iter(spike_deletion.weighted_count(sample))), [[0.5, 1.0], [0, 0]]
    )


def fired(network: Network, arrivals: Any) -> list[np.ndarray]:
    """What the layers fire, input (T, C) first: (T, C, 1, 1) each."""
    spikes = np.array(arrivals, bool).reshape(network.timesteps, 1, -1, 1, 1)
    return [raster[:, 0] for raster in simulate_reference(network, spikes)[0]]


TWO = Network(
    (2, 1, 1),
    4,
    (Layer("fc1", [[0.8, 0.6], [1.5, 0]], LIF(0.5)),),
    Readout([[2.0, -1.0]]),
    encoder="spikes",
)


def test_a_stabiliser_takes_relevance_at_every_step_by_hand() -> None:
    """v = 0.8, then 0.4 + 0.8 = 1.2 fires, of relevance 1/2; ε = 0.2.

    c[2] = 0.5 / 1.4, c[1] = 0.5 · 0.8 · c[2] / (0.8 + 0.2) = 1/7: 0.8 c[1] and 0.8 c[2] reach the
    arrivals, of which the exact shares are 1/6 and 1/3.
    """
    network = Network(
        (1, 1, 1), 4, (Layer("fc1", [[0.8]], LIF(0.5)),), Readout([[2.0]]), encoder="spikes"
    )
    rasters = fired(network, [1, 1, 0, 0])
    found = relevance(network, rasters, 0, stabilised(0.2))[0].ravel()
    np.testing.assert_allclose(found, [0.8 / 7, 0.8 * 0.5 / 1.4, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(
        relevance(network, rasters, 0)[0].ravel(), [1 / 6, 1 / 3, 0, 0], rtol=1e-6
    )


def test_a_small_stabiliser_is_the_signed_rule_and_a_large_one_loses_relevance() -> None:
    network, random = TWO, np.random.default_rng(0)
    rasters = fired(network, random.random((4, 2)) < 0.8)
    exact = relevance(network, rasters, 0)[0]
    assert np.abs(exact).sum() > 0.1
    np.testing.assert_allclose(
        relevance(network, rasters, 0, stabilised(1e-9))[0], exact, atol=1e-6
    )
    assert (
        np.abs(relevance(network, rasters, 0, stabilised(1e3))[0]).sum()
        < 0.01 * np.abs(exact).sum()
    )


def spikes_of(backend: EventBackend, network: Network, inputs: PackedSpikes) -> RasterBatch:
    return joined(list(backend.run(network, [inputs], len(inputs))))


def test_recorded_spikes_cause_the_same_spikes_behind_them() -> None:
    network, backend = quantise(export_network(small_model())), EventBackend()
    spikes = np.random.default_rng(0).random((8, 3, 6, 16, 24)) < 0.4
    whole = spikes_of(backend, network, PackedSpikes.of(spikes))
    for number, name in enumerate(network.raster_names[:-1]):
        part = upper_network(network, name)
        again = spikes_of(backend, part, PackedSpikes(whole.spikes[name], network.shapes[number]))
        np.testing.assert_array_equal(again.readout, whole.readout)
        for layer in network.layers[number:]:
            np.testing.assert_array_equal(again.spikes[layer.name], whole.spikes[layer.name])


def test_behind_a_constant_current_layers_have_the_names_of_the_raster(tmp_path: Path) -> None:
    network = load(constant_current_checkpoint(tmp_path / "constant.safetensors")).network
    part = upper_network(network, "conv1")
    names = [[layer.name for layer in layers] for layers in (part.layers, network.layers[1:])]
    assert (part.input_shape, names[0], part.encoder) == (network.shapes[1], names[1], "spikes")
    with pytest.raises(InputError, match="^layer 'input': expected one of conv1, conv2$"):
        upper_network(network, "input")


def test_nothing_is_behind_the_last_layer() -> None:
    with pytest.raises(InputError, match="^layer 'fc1': expected one of input, conv1, conv2$"):
        upper_network(export_network(small_model()), "fc1")
