from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.measures.tables import measured
from pipeline.networks.checkpoint import Checkpoint
from pipeline.networks.folding import export_network
from pipeline.paper import table1
from pipeline.paper.table1 import judge
from recordings.errors import InputError
from tests.pipeline.small_networks import small_model

from .studies import small_study


def network(leak: float, error: float, hits: int) -> pd.DataFrame:
    """Twenty images, of which so many are recognised."""
    errors = measured(error + 0.01 * np.arange(20), leak=leak, measure="localisation error", layer="conv3")
    return pd.concat([errors, measured(np.arange(20) < hits, leak=leak, measure="accuracy", layer="")])


def test_the_lowest_leak_is_set_against_the_highest() -> None:
    error, accuracy = judge(pd.concat([network(0.7, 0.9, 8), network(0.8, 0.5, 3), network(0.9, 0.7, 16)]))
    assert error.what == "conv3: error at λ = 0.7 / 0.8 / 0.9"
    assert error.ours == "0.995 / 0.595 / 0.795; error at λ = 0.7 − error at λ = 0.9: 0.2 (0.2 … 0.2)"
    assert (error.same, accuracy.same) == ("yes", "yes")
    assert accuracy.ours.startswith("40.0% / 15.0% / 80.0%; accuracy at λ = 0.9 − accuracy at λ = 0.7: 0.4 (")
    error, accuracy = judge(pd.concat([network(0.7, 0.5, 16), network(0.9, 0.7, 8)]))
    assert (error.same, accuracy.same) == ("no", "no")


def test_paper_figures_stand_beside_three_layers() -> None:
    claims = judge(
        pd.concat(
            [
                measured(np.ones(3), leak=leak, measure="localisation error" if layer else "accuracy", layer=layer)
                for leak in (0.7, 0.9)
                for layer in ("conv4", "conv6", "conv8", "")
            ]
        )
    )
    assert [claim.paper for claim in claims[:3]] == ["0.68 / 0.63 / 0.61", "0.86 / 0.82 / 0.80", "0.98 / 0.97 / 0.91"]
    assert {claim.same for claim in claims} == {"no difference seen"}


def test_networks_of_every_leak_and_a_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = small_study(tmp_path, images=4, accuracy_images=9, leaks=(0.9, 0.5))
    asked: list[tuple[float, int]] = []

    def leaky(leak: float, seed: int = 0) -> Checkpoint:
        asked.append((leak, seed))
        section = study.config.network.model_copy(update={"leak": leak})
        return replace(study.networks.surrogate, network=export_network(small_model(network=section, seed=seed)))

    monkeypatch.setattr(study.networks, "leaky", leaky)
    result = table1.run(study)
    assert asked == [(0.5, 0), (0.9, 0), (0.9, 1)]
    rows = result.table.set_index(["leak", "training_seed", "measure", "layer"])["n"]
    assert rows.index.is_unique and len(rows) == 3 * 3
    assert rows[0.5, 0, "accuracy", ""] == 9
    assert rows[0.9, 1, "localisation error", "conv2"] == 4
    assert "Two trainings from different seeds at λ = 0.9 differ" in result.notes[0]
    assert (study.out / "table1.png").is_file()


def test_a_twin_of_the_same_seed_is_refused(tmp_path: Path) -> None:
    study = small_study(tmp_path, twin_seed=0)
    with pytest.raises(InputError, match=r"^paper.twin_seed: got 0, which is training.seed"):
        study.networks.twin(0.9)


def test_networks_that_could_not_be_compared_are_not_trained(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    data = study.config.data.model_copy(update={"mean": (0.1, 0.1, 0.1)})
    study.networks.config = study.config.model_copy(update={"data": data})
    with pytest.raises(InputError, match="does not fit the configuration: data.mean, data.std"):
        study.networks.leaky(0.9)


def test_one_leak_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^paper.leaks: got 1 values, expected 2 or more to compare"):
        table1.run(small_study(tmp_path, leaks=(0.9,)))
