"""Scores of a recording: how well its maps, its spike counts and blind guesses find objects, and
whether they agree.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from numpy.typing import NDArray

import spikesam
from spikesam.backends.network import Conv, Input
from spikesam.common.errors import InputError
from spikesam.pipeline.images.preprocessing import box_mask
from spikesam.pipeline.maps._correlation import to_winners, unpooled, winners, won
from spikesam.pipeline.maps.explain import explain_source
from spikesam.pipeline.maps.localisation import (
    GatheredScores,
    Score,
    localisation_scores,
    score_sample,
)
from spikesam.pipeline.measures.localisation import MEASURES
from spikesam.pipeline.measures.statistics import Estimate, mean_with_interval
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from tests.backends.graphs import synapses
from tests.recordings.rasters import HEADER, record

GUESSES = ["centred box", "centred Gaussian"]


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    record(tmp_path, 4)
    with RasterReader(tmp_path / "raster.h5") as reader:
        explain_source(reader, tmp_path / "sam.h5").close()
    return tmp_path


def table(scores: list[Score]) -> pd.DataFrame:
    return pd.DataFrame(scores, columns=Score._fields)


def summary(scores: list[Score]) -> pd.DataFrame:
    """Means over images with their intervals, by layer, method and measure."""
    by_measure = table(scores).groupby(["layer", "method", "measure"], sort=False)["value"]
    rows = [(*names, *mean_with_interval(values)) for names, values in by_measure]
    return pd.DataFrame(rows, columns=["layer", "method", "measure", *Estimate._fields])


def test_scores_are_of_the_map_and_the_count_of_the_layer(raster: Path) -> None:
    """Of one image of four; the others have no object, or are one, in which everything lies."""
    mask, none, everything = (
        box_mask((0, 0, 3, 2), (4, 5)),
        np.zeros((16, 20), bool),
        np.ones((16, 20), bool),
    )
    with RasterReader(raster / "raster.h5") as reader, MapReader(raster / "sam.h5") as maps:
        rows = summary(localisation_scores(reader, maps, [mask, None, None, none]))
        whole = summary(localisation_scores(reader, maps, [everything, None, everything, none]))
        in_time = reader.timesteps - (
            reader.layers[-1].number - 1
        )  # later spikes of conv1 cannot reach the readout
        spikes = reader.spikes("conv1", slice(0, 1), slice(0, in_time))
        sam = maps["conv1"][0][:in_time]
    score = rows.set_index(["layer", "method", "measure"])["mean"]
    counts = spikes.sum(axis=(0, 1, 2))
    assert score["conv1", "spike count", "energy in object"] == pytest.approx(
        counts[mask].sum() / counts.sum()
    )
    assert set(whole["n"]) == {2} and set(whole[whole["measure"] != "IoU"]["mean"]) == {1}
    found = [(layer, method) for layer in ("input", "conv1") for method in ("SAM", "spike count")]
    assert set(score.index) == {
        (*each, name) for each in found + [("", name) for name in GUESSES] for name in MEASURES
    }
    energy = sam.sum(axis=0)[mask].sum() / sam.sum()
    assert score["conv1", "SAM", "energy in object"] == pytest.approx(energy, rel=1e-5)


def test_layers_without_places_locate_nothing(tmp_path: Path) -> None:
    """The map of fc1 has a row for each neuron, none for a place."""
    record(tmp_path, 1)
    mask = box_mask((0, 0, 3, 2), (4, 5))
    with (
        RasterReader(tmp_path / "raster.h5") as reader,
        explain_source(reader, None, layers=("conv1", "fc1")) as maps,
    ):
        assert maps["fc1"].sum.shape == (1, 7, 1)
        scores = localisation_scores(reader, maps, [mask])
        assert {score.layer for score in scores} == {"conv1", ""}
        assert set(spikesam.measure(maps, [mask])["layer"]) == {"conv1", ""}


def test_gathered_scores_are_those_of_every_sample_and_their_summary() -> None:
    random, mask, gathered, everything = (
        np.random.default_rng(0),
        box_mask((1, 0, 3, 2), (4, 5)),
        GatheredScores(),
        [],
    )
    for sample in (0, 2, 3, 7):
        scores = score_sample(
            sample, {name: tuple(random.random((2, 4, 5))) for name in ("conv1", "conv2")}, mask
        )
        gathered.add(scores)
        everything += scores
    assert list(gathered.of_samples()) == everything
    found = [(*condition, *estimate) for condition, estimate in gathered.summary().items()]
    assert found == list(summary(everything).itertuples(index=False, name=None))
    assert GatheredScores().summary() == {}
    assert list(GatheredScores().of_samples()) == []


def test_a_sample_in_memory() -> None:
    """Also without its spike counts, where nobody counted them."""
    sums, counts = np.array([[0.0, 2], [0, 0]]), np.array([[1.0, 1], [1, 1]])
    rows = table(score_sample(5, {"conv1": (sums, counts)}, box_mask((1, 0, 2, 1), (2, 2))))
    found = rows.set_index(["layer", "method", "measure"])["value"]
    assert set(rows["image"]) == {5}
    assert [found["conv1", "SAM", name] for name in MEASURES] == [1, 1, 1]
    assert [found["conv1", "spike count", name] for name in MEASURES] == [0.25] * 3
    alone = table(score_sample(5, {"conv1": (sums,)}, box_mask((1, 0, 2, 1), (2, 2))))
    assert alone.equals(rows[rows["method"] != "spike count"].reset_index(drop=True))


def test_scores_refuse_what_does_not_belong_together(
    raster: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    record(other, 5, HEADER)
    with MapReader(raster / "sam.h5") as maps:
        with (
            RasterReader(other / "raster.h5") as reader,
            pytest.raises(InputError, match="maps of another raster than"),
        ):
            localisation_scores(reader, maps, [None] * 5)
        with (
            RasterReader(raster / "raster.h5") as reader,
            pytest.raises(InputError, match="3 masks for the 4 samples"),
        ):
            localisation_scores(reader, maps, [None] * 3)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Two images of 4×4: in the first the upper left neuron of conv1 fires, in the second nothing
    does.
    """
    spikes = np.zeros((2, 3, 1, 4, 4), bool)
    spikes[0, :, 0, 0, 0] = True
    path = spikesam.write_raster(tmp_path / "raster.h5", {"conv1": spikes})
    spikesam.explain(path, out=tmp_path / "sam.h5").close()
    return tmp_path / "sam.h5"


def test_a_row_per_image_layer_and_measure(maps: Path) -> None:
    upper = np.zeros((4, 4), bool)
    upper[:2] = True
    table = spikesam.measure(maps, [upper, upper])
    assert list(table) == ["image", "layer", "map", "measure", "value"]
    conditions = [("conv1", "sam"), *(("", guess) for guess in GUESSES)]
    expected = [
        (image, *about, name) for image in (0, 1) for about in conditions for name in MEASURES
    ]
    assert (
        list(table[["image", "layer", "map", "measure"]].itertuples(index=False, name=None))
        == expected
    )
    of_map = table[table["map"] == "sam"]["value"].tolist()
    assert of_map == [
        1.0,
        1.0,
        1 / 8,
        0.0,
        0.0,
        0.0,
    ]  # one of the object's 8 pixels; a silent map finds nothing
    gaussian = table[table["map"] == GUESSES[1]]["value"].tolist()
    assert gaussian[:2] == pytest.approx(
        [0.5, 0.5]
    )  # the object is the upper half, and the guess is symmetric


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
        (
            [np.ones((1, 4, 4), bool), None],
            r"masks: number 0 is \(1, 4, 4\) bool, expected \(H, W\) bool",
        ),
    ],
)
def test_masks_that_do_not_fit(maps: Path, masks: list[np.ndarray | None], message: str) -> None:
    with pytest.raises(spikesam.InputError, match=f"^{message}"):
        spikesam.measure(maps, masks)


@given(synapses())
def test_back_is_the_transpose(case: tuple[Input, NDArray[np.bool_]]) -> None:
    layer, spikes = case
    synapse = layer.synapse
    maps, weight = synapse.pooled(spikes), layer.weight.astype(float)
    forward = synapse.correlated(weight, maps)
    values = np.random.default_rng(0).normal(size=forward.shape)
    back = synapse.transposed(weight, values, maps.shape)
    assert (maps * back).sum() == pytest.approx((forward * values).sum(), abs=1e-9)


def test_the_winner_of_a_window_by_hand() -> None:
    """Windows 1 3 / 3 2 and -1 -2 / -3 -1: the first 3, and the first -1."""
    layer = Input(Conv(np.ones((1, 1, 1, 1)), current_pool=2))
    currents = np.array([[[1.0, 3, -1, -2], [3, 2, -3, -1]]])
    found = winners(layer, currents)
    np.testing.assert_array_equal(found, [[[1, 0]]])
    np.testing.assert_array_equal(won(layer, currents, found), [[[3, -1]]])
    back = to_winners(layer, np.array([[[5.0, 7]]]), found, (2, 4))
    np.testing.assert_array_equal(back, [[[0, 5, 7, 0], [0, 0, 0, 0]]])
    rows = Input(Conv(np.ones((1, 1, 1, 1)), current_pool=(2, 1)))
    np.testing.assert_array_equal(winners(rows, currents), [[[1, 0, 0, 1]]])
    np.testing.assert_array_equal(won(rows, currents, winners(rows, currents)), [[[3, 3, -1, -1]]])


def test_the_winner_of_windows_that_overlap_by_hand() -> None:
    """Windows of 3, 2 apart, around 1: -1 -2 behind the border, -2 -3 0, and 0 -4 before the
    border.
    """
    about: dict[str, Any] = {
        "current_pool": (1, 3),
        "current_stride": (1, 2),
        "current_padding": (0, 1),
    }
    layer, currents = (
        Input(Conv(np.ones((1, 1, 1, 1)), **about)),
        np.array([[[-1.0, -2, -3, 0, -4]]]),
    )
    found = winners(layer, currents)
    np.testing.assert_array_equal(found, [[[1, 2, 0]]])
    np.testing.assert_array_equal(won(layer, currents, found), [[[-1, 0, 0]]])
    np.testing.assert_array_equal(
        to_winners(layer, np.array([[[5.0, 7, 2]]]), found, (1, 5)), [[[5, 0, 0, 9, 0]]]
    )


def test_pooling_by_hand() -> None:
    spikes = np.array([[[1, 1, 0, 0], [0, 1, 0, 0]]])
    average, largest = (
        Input(Conv(np.ones((1, 1, 1, 1)), pool=2, pooling=each)) for each in ("average", "max")
    )
    np.testing.assert_array_equal(average.synapse.pooled(spikes), [[[3, 0]]])
    np.testing.assert_array_equal(largest.synapse.pooled(spikes), [[[1, 0]]])
    values = np.array([[[6.0, 5.0]]])
    np.testing.assert_array_equal(unpooled(average, spikes, values), [[[6, 6, 0, 0], [0, 6, 0, 0]]])
    np.testing.assert_array_equal(unpooled(largest, spikes, values), [[[2, 2, 0, 0], [0, 2, 0, 0]]])
