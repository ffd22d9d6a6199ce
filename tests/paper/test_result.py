"""What an experiment leaves, and the page that is made from it."""

from pathlib import Path

import pandas as pd
import pytest

from paper.common.result import (
    Claim,
    Result,
    compared,
    differences,
    judged,
    over_family,
    verdict,
    with_interval,
    write_result,
)
from paper.measures.inference import p_value
from paper.measures.tables import measured
from paper.pages.fill import experiments_page
from spikesam.statistics import Estimate

ABOUT = {
    "images": "digits/val",
    "seed": "0",
    "command": "command",
    "seconds": "3",
    "seconds before": "80",
}


def left(path: Path) -> str:
    """Tables of two experiments, and their page."""
    gain = Estimate(100, 1 / 3, 0.2, 0.4)
    claims = [
        judged("error at γ = 0", "highest", "0.81 (0.79 … 0.83)", gain, p_value(gain)),
        Claim("same | bits", "–", "<b>", "yes", 4),
    ]
    table = pd.DataFrame({"layer": ["conv1", "conv2"], "gamma": 0.1, "n": 3, "mean": [1 / 3, 2.0]})
    result = Result("Fig. 8: γ", table, over_family(claims), ["Silent steps do not count."])
    write_result("fig8", result, ABOUT, path)
    write_result("fig2", Result("Fig. 2", table, claims[1:]), ABOUT, path)
    return experiments_page(path)


def test_tables_hold_what_was_found(tmp_path: Path) -> None:
    left(tmp_path)
    assert (
        tmp_path / "fig8.csv"
    ).read_text() == "layer,gamma,n,mean\nconv1,0.1,3,0.33333\nconv2,0.1,3,2.0\n"
    first, second, third = (tmp_path / "fig8.claims.csv").read_text(encoding="utf-8").splitlines()
    assert first == "what,paper,ours,same,n,p,p_holm,mean,low,high"
    # The interval reaches 0.1333 towards 0, which is 1.96 standard errors: 0.3333 is 4.9 of them.
    assert (
        second
        == "error at γ = 0,highest,0.81 (0.79 … 0.83),yes,100,9.59e-07,9.59e-07,0.333,0.2,0.4"
    )
    assert third == "same | bits,–,<b>,yes,4,,,,,"


def test_a_page_is_made_from_the_tables(tmp_path: Path) -> None:
    for name in ("fig8.png", "fig8_rate.png", "fig8_2.png", "fig88.png"):
        (tmp_path / name).write_bytes(b"a figure")
    page = left(tmp_path)
    assert page.startswith("# What the experiments found: digits/val\n")
    assert page.index("## Fig. 2\n") < page.index("## Fig. 8: γ\n")
    assert "| error at γ = 0 | highest | 0.81 (0.79 … 0.83) | yes | &lt; 0.001 | 100 |\n" in page
    assert "| same \\| bits | – | &lt;b> | yes |  | 4 |\n" in page
    figures = (
        "![Fig. 8: γ](fig8.png)\n\n![Fig. 8: γ](fig8_rate.png)\n\nSilent steps do not count.\n"
    )
    assert figures in page and "fig8_2" not in page and "fig88" not in page
    assert page.endswith(
        "`command`, seed 0: 3 s, and before that 80 s for networks, recordings and maps that it "
        "found made.\n"
    )


def test_direction_needs_an_interval_that_excludes_zero() -> None:
    assert verdict(Estimate(9, 0.2, 0.1, 0.3)) == "yes"
    assert verdict(Estimate(9, -0.2, -0.3, -0.1)) == "no"
    assert (
        verdict(Estimate(9, 0.0, -0.1, 0.1))
        == verdict(Estimate(9, 0.05, 0.0, 0.1))
        == "no difference seen"
    )


def test_one_image_gives_neither_verdict_nor_interval() -> None:
    single = Estimate(1, 0.81234, -float("inf"), float("inf"))
    assert verdict(single) == "cannot say"
    assert with_interval(single) == "0.812 (no interval)"
    many = Estimate(50, 0.81234, 0.7899, 0.83)
    assert verdict(many) == "yes"
    assert with_interval(many) == "0.812 (0.79 … 0.83)"


def test_the_first_of_two_conditions_is_claimed_to_be_larger() -> None:
    sam, grad_cam = measured([0.3, 0.5, 0.7]), measured([0.2, 0.4, 0.6])
    found = compared("variance", "SAM's is larger", {"SAM": sam, "Grad-CAM": grad_cam})
    assert (found.ours, found.same, found.n) == (
        "SAM 0.5, Grad-CAM 0.4; SAM − Grad-CAM: 0.1 (0.1 … 0.1)",
        "yes",
        3,
    )
    assert found.gain is not None and found.gain.mean == pytest.approx(0.1)
    assert found.p == 2 / 2**3, "three differences of one size, by their signs"
    assert compared("variance", "", {"Grad-CAM": grad_cam, "SAM": sam}).same == "no"
    assert compared("variance", "", {"SAM": sam, "again": sam}).same == "no difference seen"
    alone = compared("variance", "", {"SAM": measured([0.5]), "Grad-CAM": measured([0.2])})
    assert (alone.ours, alone.same, alone.n) == (
        "SAM 0.5, Grad-CAM 0.2; SAM − Grad-CAM: 0.3 (no interval)",
        "cannot say",
        1,
    )


def test_claims_are_judged_as_a_family() -> None:
    # Reaches of 1.96 standard errors: 3 of them are p = 0.0027, 2.2 of them 0.0278, and twice that
    # is above 0.05.
    clear, weak, none = (
        judged(name, "", "", gain, p_value(gain))
        for name, mean in (("a", 3.0), ("b", -2.2), ("c", 0.1))
        for gain in (Estimate(50, mean, mean - 1.96, mean + 1.96),)
    )
    equal_bits = Claim("d", "", "", "yes", 4)
    assert [claim.same for claim in (clear, weak, none)] == ["yes", "no", "no difference seen"]
    found = over_family([weak, equal_bits, clear, none])
    assert [claim.same for claim in found] == [
        "no difference seen",
        "yes",
        "yes",
        "no difference seen",
    ]
    assert [claim.p_holm for claim in found] == pytest.approx(
        [0.0556, None, 0.0081, 0.920], abs=5e-4
    )
    assert over_family([weak])[0].same == "no", "by itself it is one"


def test_differences_are_told_layer_by_layer() -> None:
    first = pd.concat([measured([2, 3], layer="conv1"), measured([1, 1], layer="conv10")])
    second = pd.concat([measured([2, 3], layer="conv10"), measured([1, 2], layer="conv1")])
    assert differences(first, second) == "conv1 1 (1 … 1), conv10 -1.5 (-2 … -1)"
