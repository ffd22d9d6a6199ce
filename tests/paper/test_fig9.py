"""fig9, with fig7 beside it, and the arithmetic of their claims."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper import fig9
from paper.common.attacks import ABOUT, Through, attacked, strengths
from paper.fig9 import (
    MEASURES,
    RESEEDED,
    accuracy_claims,
    answers,
    grad_cam_shifts,
    heatmap_shifts,
    note_on_noise,
    shift_claims,
    survived,
)
from paper.measures.tables import groups, measured, rows, summary, values
from spikesam import InputError, RasterReader
from tests.paper.setups import small_setup

EPSILONS = (0.0, 0.01, 0.03)


def test_share_of_the_range_survived_is_an_area() -> None:
    right = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]], bool)
    # The range is 0.03, in pieces of 1/3 and 2/3: a trapezoid counts half where one of its ends is
    # wrong.
    np.testing.assert_allclose(
        survived(right, EPSILONS), [1, 1 / 3 + 1 / 3, 1 / 6, 1 / 6 + 1 / 3, 0]
    )


def answered(right: dict[tuple[str, Through], list[list[bool]]]) -> pd.DataFrame:
    """Right answers as a table, from (network, attack) -> a row per image,
    a column per strength.
    """
    parts = [
        measured(column, network=network, change=ABOUT[through], epsilon=epsilon)
        for (network, through), hits in right.items()
        for epsilon, column in zip(EPSILONS, np.transpose(hits), strict=True)
    ]
    return pd.concat(parts)


def test_accuracy_is_compared_on_images_that_both_get_right_when_clean() -> None:
    always, never, until = [True] * 3, [False] * 3, [True, True, False]
    right = answered(
        {
            ("ANN", "ann"): [until] * 10 + [never],
            ("ANN", "snn"): [always] * 10 + [never],
            ("SNN", "ann"): [[True, False, False]] * 10 + [always],
            ("SNN", "snn"): [always]
            * 11,  # as robust as can be to itself, but not to the ANN's attack
            ("ANN", "ann-iterated"): [until] * 10 + [never],
            ("ANN", "snn-iterated"): [always] * 10 + [never],
            ("SNN", "ann-iterated"): [always] * 11,
            ("SNN", "snn-iterated"): [[True, False, False]] * 11,
        }
    )
    own, iterated, worse = accuracy_claims(right, 0)
    assert (own.same, own.n) == ("yes", 10)
    assert own.ours == "SNN 1, ANN 0.667; SNN − ANN: 0.333 (0.333 … 0.333)"
    assert iterated.ours.startswith("SNN 0.167, ANN 0.667;")
    assert (worse.same, worse.n) == ("no", 10)
    assert worse.ours.startswith("SNN 0.167, ANN 0.667;")


def test_without_an_image_that_both_get_right_nothing_can_be_said() -> None:
    right = answered(
        {(network, through): [[False] * 3] * 4 for network in ("ANN", "SNN") for through in ABOUT}
    )
    assert [(claim.same, claim.n) for claim in accuracy_claims(right, 0)] == [("cannot say", 0)] * 3


def test_accuracy_needs_classes(tmp_path: Path) -> None:
    setup = small_setup(tmp_path)
    clean = setup.images
    setup.images = replace(clean, labels=np.full(9, -1))
    with pytest.raises(InputError, match="got images without classes, expected labelled ones"):
        answers(setup, EPSILONS)
    setup.images = replace(clean, labels=np.where(np.arange(9) < 4, clean.labels, -1))
    found = answers(setup, (0.0,))
    assert found["image"].tolist() == [0, 1, 2, 3] * 10  # two networks, five attacks


def test_the_shift_of_grad_cam_by_hand() -> None:
    before, after = np.array([[[0.0, 4.0]], [[1.0, 3.0]]]), np.array([[[0.0, 1.0]], [[3.0, 1.0]]])
    found = grad_cam_shifts(before.astype(np.float32), after.astype(np.float32))
    moved = {measure: each["value"].tolist() for measure, each in found.groupby("measure")}
    np.testing.assert_allclose(moved["heatmap shift"], [0, 1])  # equal up to a factor; turned round
    np.testing.assert_allclose(
        moved["mass shift"], [0, 0.5]
    )  # 1/4, 3/4 becomes 3/4, 1/4: half of it has moved
    np.testing.assert_array_equal(moved["mass shift"], moved["mass shift, summed over steps"])


def test_without_an_attack_no_map_moves_but_another_seed_moves_sam(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, shift_epsilon=0.0, strong_epsilon=0.0)
    shifts = heatmap_shifts(setup)
    for (_, _, change, _), found in groups(shifts, ["map", "layer", "change", "measure"]):
        assert (found["value"] > 0).any() if change == RESEEDED else (found["value"] == 0).all()
    claims = shift_claims(shifts, 0.0, 0)
    assert {claim.same for claim in claims} == {"no difference seen"}
    assert (
        len(claims) == 2 + len(MEASURES) - 1
    )  # one per convolution, and the other measures at the last
    assert "by 0.0000 (ANN's attack), 0.0000 (SNN's attack)" in note_on_noise(
        summary(shifts), "mass shift", 0.0
    )


@pytest.mark.parametrize("show_images", [True, False])
def test_fig9_measures_every_line_and_draws_with_fig7_beside_it(
    tmp_path: Path, show_images: bool
) -> None:
    setup = small_setup(
        tmp_path,
        epsilons=(0.0, 0.05),
        strong_epsilon=0.05,
        attack_iterations=2,
        show_images=show_images,
    )
    result = fig9.run(setup)
    table = result.table
    accuracies = rows(table, measure="accuracy")
    assert len(accuracies) == 2 * (
        10 + 2
    )  # two strengths; two networks under five attacks, and two differences
    clean = rows(accuracies, epsilon=0).groupby("network")["mean"].first()
    assert clean["SNN − ANN"] == pytest.approx(clean["SNN"] - clean["ANN"])
    assert (table["low"] <= table["mean"]).all() and (table["mean"] <= table["high"]).all()
    assert table[table["measure"] != "accuracy"]["mean"].between(0, 1).all()
    seen, shifts = result.beside["fig7"], rows(result.values, measure="heatmap shift", epsilon=0.05)
    expected = {
        "Grad-CAM": values(
            shifts, map="Grad-CAM", change="attacked through the ANN, iterated"
        ).mean(),
        "SAM": values(
            shifts, map="SAM", layer="conv2", change="attacked through the SNN, iterated"
        ).mean(),
    }
    assert dict(zip(seen.table["map"], seen.table["mean"], strict=True)) == pytest.approx(expected)
    assert seen.claims[0].n == 9
    for name in ("fig9", "fig9_shift", "fig7"):
        assert (setup.out / f"{name}.png").stat().st_size > 5000


def test_the_snn_answers_with_several_seeds(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, attack_seeds=2)
    found = answers(setup, (0.0,))
    network, images = setup.networks.surrogate.network, setup.images
    right = []
    for seed in (0, 1):
        with RasterReader(setup.recording(network, images, seed=seed)) as raster:
            right.append(raster.predictions == images.labels)
    expected = (right[0].astype(float) + right[1]) / 2
    np.testing.assert_array_equal(values(found, network="SNN", change=ABOUT["snn"]), expected)


def test_an_attack_changes_pixels_by_its_strength_and_nothing_else_and_is_computed_once(
    tmp_path: Path,
) -> None:
    setup = small_setup(tmp_path)
    clean, seen = setup.images, set()
    for through in ABOUT:
        assert attacked(setup, through, 0.0).sha256 == clean.sha256
        changed = attacked(setup, through, 0.01)
        distance = (
            np.abs(changed.pixels - clean.pixels) * 0.25
        )  # in the 0 … 1 range; the standard deviation is 0.25
        assert distance.max() == pytest.approx(0.01, rel=1e-4) and (distance > 0).mean() > 0.5
        np.testing.assert_array_equal(changed.indices, clean.indices)
        np.testing.assert_array_equal(changed.labels, clean.labels)
        assert "ε = 0.01" in changed.name
        cache = sorted((tmp_path / "out" / "stages").iterdir())
        assert attacked(small_setup(tmp_path), through, 0.01).sha256 == changed.sha256
        assert sorted((tmp_path / "out" / "stages").iterdir()) == cache
        seen.add(changed.sha256)
    assert len(seen) == len(ABOUT) and clean.sha256 not in seen


def test_strengths_are_sorted(tmp_path: Path) -> None:
    assert strengths(small_setup(tmp_path, epsilons=(0.02, 0.01))) == (0.0, 0.01, 0.02)
