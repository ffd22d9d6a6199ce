"""The experiments that set relevance beside its rivals, on small untrained networks and few recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper import rivals
from paper.common.deletion_curves import BY_PLACES, BY_SPIKES, DELETION, INSERTION
from paper.common.rival_curves import Recorded, of_all_logits, of_the_variance, sam
from paper.measures.tables import measured, rows
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.maps.explain import explain
from spikesam.pipeline.maps.relevance import relevance
from spikesam.recordings.raster.reader import RasterReader
from tests.paper.setups import small_setup

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
