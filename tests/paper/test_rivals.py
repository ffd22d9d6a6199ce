"""The experiments that set relevance beside its rivals, on small untrained networks and few recordings."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paper import rivals
from paper.common.deletion import BY_PLACES, BY_SPIKES, DELETION, INSERTION
from paper.measures.tables import measured, rows
from paper.rivals import Absence, Recorded, of_all_logits, of_the_variance, sam, stabilised, temporal_spike_attribution
from spikesam.backends.network import LIF, Input, Layer, Network, NetworkError, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.maps.explain import explain
from spikesam.pipeline.maps.relevance import relevance
from spikesam.recordings.raster.reader import RasterReader
from tests.paper.setups import small_setup
from tests.reference import simulate_reference

SMALL = {"rivals": 3, "apart": 2, "rise_images": 2, "rise_masks": 16}


def test_rivals_are_chosen_apart_and_compared_in_every_layer(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, **SMALL)
    result = rivals.run(setup)
    own = rows(result.table, images="measured")
    for layer in ("input", "conv1", "conv2"):
        of_layer = rows(own, layer=layer, measure=BY_SPIKES)
        assert {"SAM", "spike count", "relevance", "SLTRP", "random order", "RISE"} < set(of_layer["map"])
        assert of_layer.set_index("map")["n"].to_dict() == {
            name: 2 if name == "RISE" else 3 for name in of_layer["map"]
        }
    apart = rows(result.table, images="kept aside", layer="conv1", measure=BY_SPIKES).set_index("map")
    assert set(apart["n"]) == {2} and {"TSA-S", "TSA-NS", "ε-LRP, ε = 1 θ", "relevance of all logits"} < set(
        apart.index
    )
    assert set(rows(own, layer="")["measure"]) == {DELETION, INSERTION}
    assert own["mean"].between(0, 1).all()
    told = [claim.what for claim in result.claims]
    assert any("than SLTRP" in what for what in told) and any("than RISE" in what for what in told)
    chosen = next(name for name in rivals.CHOICES[rivals.NO_CLASS] if name in result.notes[0])
    claim = next(each for each in result.claims if each.what == f"in conv2: {chosen}: better spike deletion than SAM")
    means = rows(own, layer="conv2", measure=BY_SPIKES).set_index("map")["mean"]
    assert claim.gain is not None and claim.n == 3
    assert claim.gain.mean == pytest.approx(means["SAM"] - means[chosen])
    assert (setup.out / "rivals.png").is_file()
    pd.testing.assert_frame_equal(rivals.run(setup).table, result.table)


def test_the_best_has_the_smallest_mean_over_layers() -> None:
    tried = pd.concat(
        measured([value, value], map=name, layer=layer, measure=measure)
        for name, layer, measure, value in (
            *(("a", "conv1", BY_SPIKES, 0.1), ("a", "conv2", BY_SPIKES, 0.5), ("a", "conv1", BY_PLACES, 0.0)),
            *(("b", "conv1", BY_SPIKES, 0.2), ("b", "conv2", BY_SPIKES, 0.3), ("b", "conv1", BY_PLACES, 0.9)),
        )
    )
    assert rivals.best(tried, ["a", "b"]) == "b"
    assert rivals.best(tried, ["a"]) == "a"


def test_maps_are_those_that_the_project_offers(tmp_path: Path) -> None:
    setup = small_setup(tmp_path)
    network = quantise(setup.networks.surrogate.network)
    path = setup.recording(network, setup.images.take(1))
    with RasterReader(path) as raster:
        fired = [raster[name][0] for name in raster]
        matter = [raster.steps_that_matter(name) for name in raster]
        sample = Recorded(network, fired, matter, int(raster.predictions[0]))
        for method, make in (("sam", lambda each: sam(each, 0.5)), ("variance-relevance", of_the_variance)):
            options = {"gamma": 0.5} if method == "sam" else {"network": str(path.parent / "network.safetensors")}
            with explain(raster, tmp_path / f"{method}.h5", method=method, **options) as maps:
                for name, each in zip(raster, make(sample), strict=True):
                    if name in maps:
                        np.testing.assert_allclose(each, maps[name].sum[0], rtol=1e-5, atol=1e-6)
    classes = [relevance(network, fired, each)[1].sum(axis=(0, 1)) for each in range(len(network.readout.weight))]
    np.testing.assert_allclose(list(of_all_logits(sample))[1], np.abs(classes).sum(axis=0))


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
