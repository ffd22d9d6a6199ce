"""Claims as views of measured tables, worked by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from paper.common.claims import (
    Claim,
    compared,
    differences,
    judged,
    over_family,
    verdict,
    with_interval,
)
from paper.measures.tables import measured
from spikesam.pipeline.measures.statistics import Estimate


def test_direction_needs_an_interval_that_excludes_zero() -> None:
    assert verdict(Estimate(9, 0.2, 0.1, 0.3)) == "yes"
    assert verdict(Estimate(9, -0.2, -0.3, -0.1)) == "no"
    assert verdict(Estimate(9, 0.0, -0.1, 0.1)) == verdict(Estimate(9, 0.05, 0.0, 0.1)) == "no difference seen"


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
    assert (found.ours, found.same, found.n) == ("SAM 0.5, Grad-CAM 0.4; SAM − Grad-CAM: 0.1 (0.1 … 0.1)", "yes", 3)
    assert found.gain is not None and found.gain.mean == pytest.approx(0.1)
    assert found.p == 0
    assert compared("variance", "", {"Grad-CAM": grad_cam, "SAM": sam}).same == "no"
    assert compared("variance", "", {"SAM": sam, "again": sam}).same == "no difference seen"
    alone = compared("variance", "", {"SAM": measured([0.5]), "Grad-CAM": measured([0.2])})
    assert (alone.ours, alone.same, alone.n) == (
        "SAM 0.5, Grad-CAM 0.2; SAM − Grad-CAM: 0.3 (no interval)",
        "cannot say",
        1,
    )


def test_claims_are_judged_as_a_family() -> None:
    # Reaches of 1.96 standard errors: 3 of them are p = 0.0027, 2.2 of them 0.0278, and twice that is above 0.05.
    clear = judged("a", "", "", Estimate(50, 3.0, 3 - 1.96, 3 + 1.96))
    weak = judged("b", "", "", Estimate(50, -2.2, -2.2 - 1.96, -2.2 + 1.96))
    none = judged("c", "", "", Estimate(50, 0.1, 0.1 - 1.96, 0.1 + 1.96))
    equal_bits = Claim("d", "", "", "yes", 4)
    assert [claim.same for claim in (clear, weak, none)] == ["yes", "no", "no difference seen"]
    found = over_family([weak, equal_bits, clear, none])
    assert [claim.same for claim in found] == ["no difference seen", "yes", "yes", "no difference seen"]
    assert [claim.p_holm for claim in found] == pytest.approx([0.0556, None, 0.0081, 0.920], abs=5e-4)
    assert over_family([weak])[0].same == "no", "by itself it is one"


def test_differences_are_told_layer_by_layer() -> None:
    first = pd.concat([measured([2, 3], layer="conv1"), measured([1, 1], layer="conv10")])
    second = pd.concat([measured([2, 3], layer="conv10"), measured([1, 2], layer="conv1")])
    assert differences(first, second) == "conv1 1 (1 … 1), conv10 -1.5 (-2 … -1)"
