"""The experiments that ask whether maps can be trusted, on small untrained networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.measures.tables import values
from pipeline.networks.checkpoint import Checkpoint
from pipeline.networks.folding import export_network
from pipeline.paper import agreement, faithfulness, randomisation
from pipeline.paper.agreement import CORRELATION, OVERLAP, SHIFT, Summary, compare
from pipeline.paper.study.study import Study
from tests.pipeline.small_networks import small_model

from .studies import small_study


def by(table: pd.DataFrame, *keys: str) -> dict[tuple[str, ...], dict[str, float]]:
    """The rows of a summary by what they are of."""
    assert not table.duplicated(list(keys)).any()
    return {tuple(row[key] for key in keys): row for row in table.to_dict("records")}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Nine images; networks of another leak, and a converted one, are other untrained networks."""
    study = small_study(tmp_path, seeds=3, curves=2, randomised=3)

    def leaky(leak: float, seed: int = 0) -> Checkpoint:
        return replace(study.networks.surrogate, network=export_network(small_model(seed=seed)))

    monkeypatch.setattr(study.networks, "leaky", leaky)
    monkeypatch.setattr(study.networks, "converted", leaky(1.0, 5), raising=False)
    return study


def test_agreement_compares_image_by_image() -> None:
    random = np.random.default_rng(0)
    maps = random.random((3, 4, 4))
    one = {"conv1": Summary(maps, np.array([0.2, 0.5, 0.9]))}
    same = compare(one, one)
    assert values(same, measure=CORRELATION).tolist() == pytest.approx([1, 1, 1])
    assert values(same, measure=OVERLAP).tolist() == pytest.approx([1, 1, 1])
    assert values(same, measure=SHIFT).tolist() == [0, 0, 0]
    other = {"conv1": Summary(np.stack([maps[0], -maps[1], maps[2]]), np.array([0.4, 0.5, 0.5]))}
    found = compare(one, other)
    assert values(found, measure=CORRELATION).tolist() == pytest.approx([1, -1, 1])
    assert values(found, measure=SHIFT).tolist() == pytest.approx([0.2, 0, 0.4])


def test_agreement_bounds_differences_by_the_noise_between_seeds(study: Study) -> None:
    result = agreement.run(study)
    table = by(result.table, "comparison", "layer", "measure")
    comparisons = dict.fromkeys(comparison for comparison, _, _ in table)
    assert list(comparisons) == ["other spikes", "float32", "other training", "converted", "other image"]
    assert all(row["n"] == 9 for row in table.values())
    assert all(-1 <= row["low"] <= row["mean"] <= row["high"] <= 1 for row in table.values())
    for layer in ("conv1", "conv2"):
        floor = table["other spikes", layer, CORRELATION]["mean"]
        assert floor < 1, "other spikes give another map"
        assert table["float32", layer, CORRELATION]["mean"] > table["other training", layer, CORRELATION]["mean"]
    assert (study.out / "agreement.png").is_file()


def test_randomisation_cannot_reach_sam_from_above(study: Study) -> None:
    result = randomisation.run(study)
    table = by(result.table, "shuffled down to", "map", "layer")
    shuffled = list(dict.fromkeys(name for name, _, _ in table))
    assert shuffled == ["trained", "readout", "fc1", "conv2", "conv1", "nothing, other spikes"]
    for layer, untouched in (("conv1", ["readout", "fc1", "conv2"]), ("conv2", ["readout", "fc1"])):
        for name in untouched:
            assert table[name, "SAM", layer]["mean"] == pytest.approx(1)
    assert table["conv2", "SAM", "conv2"]["mean"] < 1
    assert table["conv1", "SAM", "conv1"]["mean"] < 1
    assert table["readout", "SNN Grad-CAM", "conv2"]["mean"] < 1
    assert {claim.n for claim in result.claims} == {3}
    assert (study.out / "randomisation.png").is_file()


def test_faithfulness_scores_every_map_against_chance(study: Study) -> None:
    result = faithfulness.run(study)
    table = by(result.table, "map", "measure")
    maps = list(dict.fromkeys(name for name, _ in table))
    assert maps[:2] == ["SAM conv1", "SAM conv2"]
    assert maps[-2:] == ["centred Gaussian", "random order"]
    assert all(0 < row["mean"] < 1 and row["n"] == 2 for row in table.values())
    stages = {path.name.split("-")[0] for path in study.stages.directory.iterdir()}
    assert "faithfulness" in stages
    again = faithfulness.run(study)
    pd.testing.assert_frame_equal(again.table, result.table)
    assert (study.out / "faithfulness.png").is_file()
