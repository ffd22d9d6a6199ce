from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.paper import fig10
from pipeline.paper.fig10 import Attention, energy_on, judge, taken_for_one
from pipeline.paper.study.pairs import side_by_side
from recordings.errors import InputError

from .studies import small_study


def test_energy_is_a_mean_over_the_pixels_of_an_object() -> None:
    maps = np.array([[[1, 1, 3, 3]], [[0, 0, 0, 8]]], np.float32)
    objects = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 1]]], bool)
    np.testing.assert_allclose(energy_on(maps, objects), [[1, 3], [0, 8]])
    np.testing.assert_allclose(energy_on(np.ones((1, 1, 2), np.float32), objects), [[1, 1]])  # a coarser map


def attending(*shares: float, n: int = 6) -> Attention:
    """One that sees the predicted object with these shares, step by step, the same for all images."""
    energies = np.array([[share, 1 - share] for share in shares])
    return Attention(2, np.tile(energies, (n, 1, 1)))


def test_early_and_late_are_the_first_and_last_third() -> None:
    attention = attending(0.4, 0.5, 0.9, 0.9, 0.9, 0.6, 0.8)
    np.testing.assert_allclose(attention.early, 0.45)
    np.testing.assert_allclose(attention.late, 0.7)
    np.testing.assert_allclose(attending(0.3).early, 0.3)


def test_a_step_counts_by_its_energy_and_silence_is_even() -> None:
    energies = np.array([[[0.0, 0.0], [3.0, 1.0], [0.0, 1.0]], np.zeros((3, 2))])
    attention = Attention(0, energies)
    np.testing.assert_allclose(attention.share(slice(None)), [3 / 5, 0.5])
    np.testing.assert_allclose(attention.early, [0.5, 0.5])


def test_judgement_of_attention_that_settles() -> None:
    settles, even = attending(0.5, 0.5, 0.9), attending(0.5, 0.5, 0.5)
    assert [claim.same for claim in judge("conv1", settles, even)] == ["yes", "yes", "yes", "yes", "yes"]
    assert [claim.same for claim in judge("conv1", even, settles)] == [
        "yes",
        "no difference seen",
        "no difference seen",
        "no",
        "no",
    ]
    strays = judge("conv1", attending(0.7, 0.5, 0.2), even)
    assert [claim.same for claim in strays] == ["no", "no", "no", "no", "no"]
    alone = judge("conv1", attending(0.5, 0.5, 0.9, n=1), attending(0.5, 0.5, 0.5, n=1))
    assert {claim.same for claim in alone} == {"cannot say"}


def test_only_images_taken_for_one_of_their_objects_count(tmp_path: Path) -> None:
    pairs = side_by_side(small_study(tmp_path).images, 3, seed=0)
    (a, b), (c, d), (e, f) = pairs.labels.tolist()
    chosen, predicted = taken_for_one(pairs, np.array([b, 3 - c - d, e]))
    assert (chosen.tolist(), predicted.tolist()) == ([0, 2], [1, 0])
    assert len(taken_for_one(pairs, np.array([3 - a - b, 3 - c - d, 3 - e - f]))[0]) == 0


def test_two_images_side_by_side(tmp_path: Path) -> None:
    study = small_study(tmp_path, pairs=4)
    result = fig10.run(study)
    n = result.claims[0].n
    assert result.notes[0].startswith(f"{n} of 4 images are taken for one of their two classes")
    assert {row["n"] for row in result.table} == {n}
    assert all(0 <= row["mean"] <= 1 for row in result.table)
    first_steps = [row["when"] for row in result.table if (row["map"], row["layer"]) == ("SAM", "conv2")]
    assert first_steps == ["early", "late", *(f"step {t}" for t in range(2, 7))]
    assert any(claim.what.startswith("left and right exchanged") for claim in result.claims)
    assert {path.name for path in study.out.glob("fig10*.png")} == {"fig10.png", "fig10_maps.png"}


def test_two_digits_in_a_scene(tmp_path: Path) -> None:
    study = small_study(tmp_path, pairs=2, checkpoint="cluttered-digits", layers=("conv4",))
    data = study.config.data.model_copy(update={"source": "cluttered-digits"})
    study.config = study.config.model_copy(update={"data": data})
    result = fig10.run(study)
    assert len(result.claims) == 5
    assert result.notes[1].startswith("Scenes of two digits cannot be exchanged")


def test_none_taken_for_its_objects_is_one_line(tmp_path: Path) -> None:
    study = small_study(tmp_path, pairs=2)
    labels = np.where(study.images.labels == 0, 1, 2)  # the network answers 0 wherever it sees noise
    study.__dict__["images"] = replace(study.images, labels=labels)
    network = study.surrogate.network
    silent = replace(network, readout=replace(network.readout, weight=np.zeros_like(network.readout.weight)))
    study.__dict__["surrogate"] = replace(study.surrogate, network=silent)
    with pytest.raises(
        InputError, match=r"none of 2 images with two objects is taken for one of the two; use a better"
    ):
        fig10.run(study)
