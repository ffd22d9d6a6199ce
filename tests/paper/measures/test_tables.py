"""Tidy tables by hand: a row per image and condition, their means, and differences over the same
images.
"""

import numpy as np
import pandas as pd
import pytest

from paper.measures.inference import bootstrap_mean
from paper.measures.tables import (
    difference,
    groups,
    measured,
    rows,
    summary,
    summary_of_shares,
    values,
)
from spikesam import InputError
from spikesam.statistics import mean_with_interval

SAM = measured([0.2, 0.4, 0.9], layer="conv2", map="SAM")
COUNT = measured([0.1, 0.4, 0.6], layer="conv2", map="spike count")
TABLE = pd.concat([SAM, COUNT, measured([1, 2], [0, 2], layer="conv1", map="SAM")])


def test_a_measurement_has_a_row_per_image() -> None:
    assert list(SAM.columns) == ["image", "layer", "map", "value"]
    assert SAM.to_dict("list") == {
        "image": [0, 1, 2],
        "layer": ["conv2"] * 3,
        "map": ["SAM"] * 3,
        "value": [0.2, 0.4, 0.9],
    }


def test_rows_are_chosen_by_name() -> None:
    assert rows(TABLE, layer="conv1")["image"].tolist() == [0, 2]
    assert values(TABLE, layer="conv2", map="spike count").tolist() == [0.1, 0.4, 0.6]
    assert not len(rows(TABLE, layer="conv3"))
    assert len(rows(TABLE)) == 8


def test_a_summary_has_a_row_per_condition_in_order_of_appearance() -> None:
    found = summary(TABLE)
    assert list(found.columns) == ["layer", "map", "n", "mean", "low", "high"]
    assert list(zip(found["layer"], found["map"], strict=True)) == [
        ("conv2", "SAM"),
        ("conv2", "spike count"),
        ("conv1", "SAM"),
    ]
    assert found["n"].tolist() == [3, 3, 2]
    assert found["mean"].tolist() == pytest.approx([0.5, 1.1 / 3, 1.5])
    assert tuple(found.iloc[0, 2:]) == bootstrap_mean([0.2, 0.4, 0.9])
    assert tuple(summary(SAM, seed=3).iloc[0, 2:]) == bootstrap_mean([0.2, 0.4, 0.9], seed=3)


def test_hits_get_the_interval_of_shares() -> None:
    found = summary_of_shares(measured([1, 0, 0, 0], network="SNN"))
    assert found.columns.tolist() == ["network", "n", "mean", "low", "high"]
    assert found.iloc[0].tolist() == ["SNN", *mean_with_interval([1, 0, 0, 0])]


def test_groups_keep_what_does_not_apply() -> None:
    table = pd.concat(
        [measured([1], layer="", epsilon=0.1), measured([2], layer="conv1", epsilon="")]
    )
    assert [names for names, _ in groups(table, ["layer", "epsilon"])] == [("", 0.1), ("conv1", "")]


def test_a_difference_is_taken_image_by_image() -> None:
    assert difference(SAM, COUNT, seed=3) == bootstrap_mean(
        np.subtract([0.2, 0.4, 0.9], [0.1, 0.4, 0.6]), seed=3
    )
    assert difference(SAM, COUNT).mean == pytest.approx(0.4 / 3)
    assert difference(SAM, SAM) == (3, 0, 0, 0)


def test_a_difference_between_other_images_is_refused() -> None:
    with pytest.raises(
        InputError,
        match="^paired difference: got 3 rows of 3 images and 2 rows of 2 images, expected",
    ):
        difference(SAM, rows(TABLE, layer="conv1"))
    with pytest.raises(
        InputError, match="got 6 rows of 3 images and 6 rows of 3 images, expected one row for each"
    ):
        difference(rows(TABLE, layer="conv2"), rows(TABLE, layer="conv2"))
    with pytest.raises(InputError, match="expected one row for each of the same images"):
        difference(SAM, measured([1, 2, 3], [2, 1, 0]))


def test_a_summary_refuses_what_has_no_value() -> None:
    with pytest.raises(InputError, match="got NaN or infinite values"):
        summary(measured([1, np.nan], layer="conv1"))
