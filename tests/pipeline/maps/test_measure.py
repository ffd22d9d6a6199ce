"""Maps measured against masks, as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import spikesam

GUESSES = ["centred box", "centred Gaussian"]
MEASURES = ["pointing game", "energy in object", "IoU"]


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Two images of 4×4: in the first the upper left neuron of conv1 fires, in the second nothing does."""
    spikes = np.zeros((2, 3, 1, 4, 4), bool)
    spikes[0, :, 0, 0, 0] = True
    path = spikesam.write_raster(tmp_path / "raster.h5", {"conv1": spikes})
    spikesam.explain(path, tmp_path / "sam.h5").close()
    return tmp_path / "sam.h5"


def test_a_row_per_image_layer_and_measure(maps: Path) -> None:
    upper = np.zeros((4, 4), bool)
    upper[:2] = True
    table = spikesam.measure(maps, [upper, upper])
    assert list(table) == ["image", "layer", "map", "measure", "value"]
    conditions = [("conv1", "sam"), *(("", guess) for guess in GUESSES)]
    expected = [(image, *about, name) for image in (0, 1) for about in conditions for name in MEASURES]
    assert list(table[["image", "layer", "map", "measure"]].itertuples(index=False, name=None)) == expected
    of_map = table[table["map"] == "sam"]["value"].tolist()
    assert of_map == [1.0, 1.0, 1 / 8, 0.0, 0.0, 0.0]  # one of the object's 8 pixels; a silent map finds nothing
    gaussian = table[table["map"] == GUESSES[1]]["value"].tolist()
    assert gaussian[:2] == pytest.approx([0.5, 0.5])  # the object is the upper half, and the guess is symmetric


def test_images_without_an_object_are_left_out(maps: Path) -> None:
    with spikesam.open_maps(maps) as reader:
        table = spikesam.measure(reader, [None, np.ones((8, 8), bool)])
        assert set(table["image"]) == {1}
        assert spikesam.measure(reader, [None, np.zeros((4, 4), bool)]).empty
        assert reader["conv1"].sum.shape == (2, 4, 4)  # still open


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([None], "masks: got 1, expected one for each of the 2 images"),
        ([None, np.ones((4, 4))], r"masks: number 1 is \(4, 4\) float64, expected \(H, W\) bool"),
        ([np.ones((1, 4, 4), bool), None], r"masks: number 0 is \(1, 4, 4\) bool, expected \(H, W\) bool"),
    ],
)
def test_masks_that_do_not_fit(maps: Path, masks: list[np.ndarray | None], message: str) -> None:
    with pytest.raises(spikesam.InputError, match=f"^{message}"):
        spikesam.measure(maps, masks)


def test_the_table_can_be_summarised_as_any_other(maps: Path) -> None:
    table = spikesam.measure(maps, [np.ones((4, 4), bool)] * 2)
    means = table.groupby(["layer", "map", "measure"], sort=False)["value"].mean()
    assert isinstance(means, pd.Series)
    assert means["conv1", "sam", "pointing game"] == 0.5
