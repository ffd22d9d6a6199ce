"""The experiments that ask whether maps can be trusted, on small untrained networks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper import faithfulness, randomisation
from paper.common.result import Claim, Verdict
from paper.common.setup import Setup
from paper.measures.tables import rows, values
from spikesam import RasterReader
from tests.paper.setups import small_setup


def by(table: pd.DataFrame, *keys: str) -> dict[tuple[str, ...], dict[str, float]]:
    """The rows of a summary by what they are of."""
    assert not table.duplicated(list(keys)).any()
    return {tuple(row[key] for key in keys): row for row in table.to_dict("records")}


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """Nine images, of which few are measured on."""
    return small_setup(tmp_path, curves=2, randomised=3, shuffles=1)


def test_randomisation_cannot_reach_sam_from_above(setup: Setup) -> None:
    result = randomisation.run(setup)
    table = by(
        rows(result.table, measure="correlation"), "shuffled down to", "bntt", "map", "layer"
    )
    shuffled = list(dict.fromkeys(name for name, *_ in table))
    assert shuffled == ["trained", "readout", "fc1", "conv2", "conv1", "nothing, other spikes"]
    learnt, anew = randomisation.LEARNT, randomisation.ANEW
    for bntt in (learnt, anew):
        for layer, untouched in (("conv1", ["fc1", "conv2"]), ("conv2", ["fc1"])):
            for name in untouched:
                assert table[name, bntt, "SAM", layer]["mean"] == pytest.approx(1)
        assert table["conv2", bntt, "SAM", "conv2"]["mean"] < 1
        assert table["conv1", bntt, "SAM", "conv1"]["mean"] < 1
    assert ("readout", anew, "SAM", "conv1") not in table, "nothing is to be estimated"
    assert table["readout", learnt, "SAM", "conv2"]["mean"] == pytest.approx(1)
    assert table["readout", learnt, "SNN Grad-CAM", "conv2"]["mean"] < 1
    assert {claim.n for claim in result.claims} == {3}
    assert len(result.claims) == 2 * 2 * 3
    for name in ("randomisation", "randomisation_rate"):
        assert (setup.out / f"{name}.png").is_file()


def test_randomisation_tells_spike_rates_and_averages_over_shuffles(setup: Setup) -> None:
    setup.settings = setup.settings.model_copy(update={"shuffles": 2})
    result = randomisation.run(setup)
    rates = by(rows(result.table, measure="spike rate"), "shuffled down to", "bntt", "layer")
    network, images = setup.networks.surrogate.network, setup.images.take(3)
    with RasterReader(setup.recording(network, images)) as raster:
        spec = raster.layer("conv2")
        fired = (
            raster.counts("conv2")[:, 2:7].mean() / spec.neurons
        )  # it is reached at step 2; step 7 is too late
    assert rates["trained", randomisation.LEARNT, "conv2"]["mean"] == pytest.approx(fired)
    single = [
        randomisation.rates(setup, shuffled, images)
        for seed in (0, 1)
        for name, bntt, shuffled in randomisation.shuffles(setup, network, images, seed)
        if (name, bntt) == ("conv2", randomisation.ANEW)
    ]
    mean = np.mean([values(each, layer="conv2").mean() for each in single])
    assert rates["conv2", randomisation.ANEW, "conv2"]["mean"] == pytest.approx(mean)
    assert "Of 2 shuffles" in result.notes[-1]


def test_faithfulness_scores_every_map_against_chance_and_sam_against_its_rivals(
    setup: Setup,
) -> None:
    result = faithfulness.run(setup)
    table = by(result.table, "map", "layer", "measure")
    of_pixels = list(dict.fromkeys(name for name, layer, _ in table if not layer))
    assert set(of_pixels) == {
        *(
            "SAM conv1",
            "SAM conv2",
            "spike count conv2",
            "SNN Grad-CAM conv2",
            "relevance input",
            "relevance conv2",
        ),
        *(
            "SLTRP input",
            "SLTRP conv2",
            "Gradient × input",
            "Integrated gradients",
            "Occlusion",
            "RISE",
        ),
        *("Grad-CAM of the ANN", "brightness", "centred Gaussian", "random order"),
    }
    for layer in ("input", "conv1", "conv2"):
        measures = {(name, measure) for name, of_layer, measure in table if of_layer == layer}
        for measure in ("spike deletion area by places", "spike deletion area by spikes"):
            assert {
                (f"SAM {layer}", measure),
                (f"relevance {layer}", measure),
                ("RISE", measure),
            } <= measures
    assert all(
        0 <= row["low"] <= row["mean"] <= row["high"] <= 1 and row["n"] == 2
        for row in table.values()
    )
    claims = [claim.what for claim in result.claims]
    assert "RISE: better insertion than centred Gaussian" in claims
    assert "SAM conv2: better deletion than RISE" in claims
    assert "in conv1: SAM conv1: better spike deletion by spikes than relevance conv1" in claims
    assert result.notes[0].startswith("SAM loses")
    cache = {path.name.split("-")[0] for path in setup.cache.directory.iterdir()}
    assert {"faithfulness", "attribution"} <= cache
    again = faithfulness.run(setup)
    pd.testing.assert_frame_equal(again.table, result.table)
    assert (setup.out / "faithfulness.png").is_file() and (
        setup.out / "faithfulness_spikes.png"
    ).is_file()


def test_where_sam_loses_is_said_first() -> None:
    def claim(what: str, same: Verdict) -> Claim:
        return Claim(what, "–", "", same, 5)

    lost = [
        claim("SAM conv2: better deletion than RISE", "no"),
        claim("SAM conv2: better deletion than Occlusion", "no"),
        claim("in conv1: SAM conv1: better spike deletion by spikes than SLTRP conv1", "no"),
    ]
    others = [
        claim("SAM conv2: better insertion than RISE", "yes"),
        claim("RISE: better deletion than random order", "no"),
    ]
    assert faithfulness.losses(others, 5) == "SAM loses to no other map (5 images)."
    assert faithfulness.losses([*others, *lost], 5) == (
        "SAM loses (5 images). SAM conv2, deletion: to RISE, Occlusion. "
        "In conv1: SAM conv1, spike deletion by spikes: to SLTRP conv1."
    )
    weak = [
        Claim(f"SAM conv2: better deletion than map {n}", "–", "", "no", 5, p=0.04)
        for n in range(3)
    ]
    assert faithfulness.losses(weak, 5) == "SAM loses to no other map (5 images).", (
        "together they are chance"
    )
