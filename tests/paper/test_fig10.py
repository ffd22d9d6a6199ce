from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper import fig10
from paper.common.heatmaps import COUNT, SAM
from paper.common.scenes import energy_on, shares, side_by_side, taken_for_one
from paper.fig10 import judge
from paper.measures.tables import measured, rows
from spikesam import InputError
from spikesam.settings import DataSection
from tests.paper.setups import small_setup


def test_energy_is_a_mean_over_the_pixels_of_an_object() -> None:
    maps = np.array([[[1, 1, 3, 3]], [[0, 0, 0, 8]]], np.float32)
    objects = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 1]]], bool)
    np.testing.assert_allclose(energy_on(maps, objects), [[1, 3], [0, 8]])
    np.testing.assert_allclose(
        energy_on(np.ones((1, 1, 2), np.float32), objects), [[1, 1]]
    )  # a coarser map


def energies(*shares: float, n: int = 20) -> np.ndarray:
    """Energies on the predicted object and on the other one, step by step, equal for all images."""
    return np.tile([[share, 1 - share] for share in shares], (n, 1, 1))


def judged(sam: np.ndarray, count: np.ndarray) -> list[str]:
    """Verdicts on one layer whose SAM and spike count have these energies."""
    parts = [
        measured(share, map=name, layer="conv1", when=when)
        for name, of_map in ((SAM, sam), (COUNT, count))
        for when, share in shares(of_map, 2).items()
    ]
    return [claim.same for claim in judge(pd.concat(parts))]


def test_early_and_late_are_the_first_and_last_third() -> None:
    found = shares(energies(0.4, 0.5, 0.9, 0.9, 0.9, 0.6, 0.8), 2)
    assert list(found) == ["early", "late", *(f"step {step}" for step in range(2, 9))]
    np.testing.assert_allclose(found["early"], 0.45)
    np.testing.assert_allclose(found["late"], 0.7)
    np.testing.assert_allclose(found["step 3"], 0.5)
    np.testing.assert_allclose(shares(energies(0.3), 0)["early"], 0.3)


def test_a_step_counts_by_its_energy_and_silence_has_no_share() -> None:
    silent = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    found = shares(
        np.array([[[3.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]]), 0
    )
    np.testing.assert_allclose([found["early"], found["late"]], [[3 / 5], [3 / 6]])
    assert np.isnan(found["step 2"]).all()
    assert np.isnan(list(shares(silent[None], 0).values())).all()


def test_judgement_of_attention_that_settles() -> None:
    settles, even = energies(0.5, 0.5, 0.9), energies(0.5, 0.5, 0.5)
    assert judged(settles, even) == ["yes", "yes", "yes", "yes", "yes"]
    assert judged(even, settles) == [
        "yes",
        "no difference seen",
        "no difference seen",
        "no",
    ]  # no image prefers one
    assert judged(energies(0.7, 0.5, 0.2), even) == ["no", "no", "no", "no", "no"]
    assert set(judged(energies(0.5, 0.5, 0.9, n=1), energies(0.5, 0.5, 0.5, n=1))) == {"cannot say"}


def test_silent_images_and_ties_do_not_count() -> None:
    # Of forty images sixteen are silent late, four have exactly a half, and sixteen of the other
    # twenty have more.
    late = [0.9, 0.8, 0.7, 0.6, 0.1, 0.5, np.nan, np.nan, np.nan, np.nan] * 4
    parts = [
        measured(values, map=name, layer="conv1", when=when)
        for name in (SAM, COUNT)
        for when, values in (("early", [0.5] * 40), ("late", late))
    ]
    early, later, grown, more, kernel = judge(pd.concat(parts).dropna())
    assert (early.n, later.n, grown.n, more.n, kernel.n) == (40, 24, 24, 20, 24)
    assert later.gain is not None and later.gain.mean == pytest.approx(0.1)
    assert more.gain is not None and more.gain.mean == pytest.approx(0.3)  # 16 of 20, minus a half
    assert kernel.same == "no difference seen"


def test_of_few_images_only_the_sign_test_says_something() -> None:
    assert judged(energies(0.5, 0.5, 0.9, n=10), energies(0.5, 0.5, 0.5, n=10)) == [
        "cannot say", "cannot say", "cannot say", "yes", "cannot say",
    ]  # fmt: skip


def test_a_layer_that_is_always_silent_late_is_claimed_nothing_of() -> None:
    claims = judge(measured([0.5, 0.5], map=SAM, layer="conv1", when="early"))
    assert [claim.what for claim in claims] == [
        "conv1: share of the energy on the predicted object, early"
    ]


def test_the_left_half_gets_what_the_predicted_object_does_not() -> None:
    late = measured([0.9, 0.8], map=SAM, layer="conv1", when="late")
    assert fig10.on_left(late, {0: 0, 1: 1}).tolist() == pytest.approx([0.9, 0.2])


def test_only_images_taken_for_one_of_their_objects_count(tmp_path: Path) -> None:
    scenes = side_by_side(small_setup(tmp_path).images, 3, seed=0)
    (a, b), (c, d), (e, f) = scenes.labels.tolist()
    chosen, predicted = taken_for_one(scenes, np.array([b, 3 - c - d, e]))
    assert (chosen.tolist(), predicted.tolist()) == ([0, 2], [1, 0])
    assert len(taken_for_one(scenes, np.array([3 - a - b, 3 - c - d, 3 - e - f]))[0]) == 0


def test_two_images_side_by_side(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, two_objects=4)
    result = fig10.run(setup)
    n = result.claims[0].n
    assert result.notes[0].startswith(f"{n} of 4 images are taken for one of their two classes")
    assert set(result.table["n"]) == {n}
    assert result.table["mean"].between(0, 1).all()
    assert rows(result.table, map="SAM", layer="conv2")["when"].tolist() == [
        "early",
        "late",
        *(f"step {t}" for t in range(2, 7)),
    ]
    assert any(claim.what.startswith("left and right exchanged") for claim in result.claims)
    assert {path.name for path in setup.out.glob("fig10*.png")} == {"fig10.png", "fig10_maps.png"}


def test_two_digits_in_a_scene(tmp_path: Path) -> None:
    digits = {"data": DataSection(source="cluttered-digits", height=16, width=24)}
    result = fig10.run(
        small_setup(
            tmp_path, digits, two_objects=2, checkpoint="cluttered-digits", layers=("conv4",)
        )
    )
    assert len(result.claims) == 5
    assert result.notes[2].startswith("Scenes of two digits cannot be exchanged")


def test_none_taken_for_its_objects_is_one_line(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, two_objects=2)
    labels = np.where(
        setup.images.labels == 0, 1, 2
    )  # the network answers 0 wherever it sees noise
    setup.images = replace(setup.images, labels=labels)
    network = setup.networks.surrogate.network
    silent = replace(
        network, readout=replace(network.readout, weight=np.zeros_like(network.readout.weight))
    )
    setup.networks.surrogate = replace(setup.networks.surrogate, network=silent)
    with pytest.raises(
        InputError,
        match=r"none of 2 images with two objects is taken for one of the two; use a better",
    ):
        fig10.run(setup)
