"""The scores of a recording: how well its maps, its spike counts and two blind guesses find the object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper.measures.tables import summary_of_shares
from spikesam.pipeline.images.preprocessing import box_mask
from spikesam.pipeline.maps.explain import explain
from spikesam.pipeline.maps.localisation import GatheredScores, Score, localisation_scores, score_sample
from spikesam.pipeline.measures.localisation import MEASURES
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings.rasters import HEADER, record


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    record(tmp_path, 4)
    with RasterReader(tmp_path / "raster.h5") as reader:
        explain(reader, tmp_path / "sam.h5").close()
    return tmp_path


def table(scores: list[Score]) -> pd.DataFrame:
    return pd.DataFrame(scores, columns=Score._fields)


def test_scores_of_every_layer_map_and_guess(raster: Path) -> None:
    everything = np.ones((16, 20), bool)
    with RasterReader(raster / "raster.h5") as reader, MapReader(raster / "sam.h5") as maps:
        masks = [everything, None, everything, np.zeros((16, 20), bool)]
        rows = summary_of_shares(table(localisation_scores(reader, maps, masks)))
        assert localisation_scores(reader, maps, [None] * 4) == []
    assert set(zip(rows["layer"], rows["method"], strict=True)) == {
        ("input", "SAM"),
        ("input", "spike count"),
        ("conv1", "SAM"),
        ("conv1", "spike count"),
        ("", "centred box"),
        ("", "centred Gaussian"),
    }
    assert set(rows["measure"]) == set(MEASURES)
    assert set(rows["n"]) == {2}
    assert set(rows[rows["measure"] != "IoU"]["mean"]) == {1}  # everything is object


def test_scores_are_of_the_map_and_the_count_of_the_layer(raster: Path) -> None:
    mask = box_mask((0, 0, 3, 2), (4, 5))
    with RasterReader(raster / "raster.h5") as reader, MapReader(raster / "sam.h5") as maps:
        rows = summary_of_shares(table(localisation_scores(reader, maps, [mask, None, None, None])))
        in_time = reader.timesteps - (reader.layers[-1].number - 1)  # later spikes of conv1 cannot reach the readout
        spikes = reader.spikes("conv1", slice(0, 1), slice(0, in_time))
        sam = maps["conv1"][0][:in_time]
    score = rows.set_index(["layer", "method", "measure"])["mean"]
    counts = spikes.sum(axis=(0, 1, 2))
    assert score["conv1", "spike count", "energy in object"] == pytest.approx(counts[mask].sum() / counts.sum())
    energy = sam.sum(axis=0)[mask].sum() / sam.sum()
    assert score["conv1", "SAM", "energy in object"] == pytest.approx(energy, rel=1e-5)


def test_gathered_scores_are_those_of_every_sample_and_their_summary() -> None:
    random, mask, gathered, everything = np.random.default_rng(0), box_mask((1, 0, 3, 2), (4, 5)), GatheredScores(), []
    for sample in (0, 2, 3, 7):
        scores = score_sample(sample, {name: tuple(random.random((2, 4, 5))) for name in ("conv1", "conv2")}, mask)
        gathered.add(scores)
        everything += scores
    assert list(gathered.of_samples()) == everything
    found = [(*condition, *estimate) for condition, estimate in gathered.summary().items()]
    assert found == list(summary_of_shares(table(everything)).itertuples(index=False, name=None))
    assert GatheredScores().summary() == {}
    assert list(GatheredScores().of_samples()) == []


def test_a_sample_in_memory() -> None:
    sums, counts = np.array([[0.0, 2], [0, 0]]), np.array([[1.0, 1], [1, 1]])
    rows = table(score_sample(5, {"conv1": (sums, counts)}, box_mask((1, 0, 2, 1), (2, 2))))
    found = rows.set_index(["layer", "method", "measure"])["value"]
    assert set(rows["image"]) == {5}
    assert [found["conv1", "SAM", name] for name in MEASURES] == [1, 1, 1]
    assert [found["conv1", "spike count", name] for name in MEASURES] == [0.25] * 3


def test_scores_refuse_what_does_not_belong_together(raster: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    record(other, 5, HEADER)
    with MapReader(raster / "sam.h5") as maps:
        with (
            RasterReader(other / "raster.h5") as reader,
            pytest.raises(InputError, match="maps of another raster than"),
        ):
            localisation_scores(reader, maps, [None] * 5)
        with RasterReader(raster / "raster.h5") as reader, pytest.raises(InputError, match="3 masks for the 4 samples"):
            localisation_scores(reader, maps, [None] * 3)


def test_maps_whose_spikes_nobody_counted_are_scored_alone() -> None:
    rng = np.random.default_rng(0)
    sam, count, mask = rng.random((4, 6)), rng.random((4, 6)), np.zeros((8, 12), np.bool_)
    mask[2:5, 3:7] = True
    both = score_sample(3, {"conv1": (sam, count), "conv2": (count, sam)}, mask)
    alone = score_sample(3, {"conv1": (sam,), "conv2": (count,)}, mask)
    assert alone == [score for score in both if score.method != "spike count"]
