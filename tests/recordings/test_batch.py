"""Answers of raw sums: classes, silence, and counts of spikes."""

from pathlib import Path

import numpy as np
import pytest

from spikesam.recordings.raster import schema
from spikesam.recordings.raster.batch import NO_ANSWER, CountedSpikes, chosen_classes
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import GrowingWriter
from tests.recordings.rasters import HEADER, batch, samples


@pytest.mark.parametrize(
    ("readout", "chosen"),
    [
        ([[1, 5, 5], [0, 0, 0]], [1, -1]),
        ([[1, -1, 0], [-2, 0, -1]], [0, 1]),  # a sum of 0 is no silence
        ([[0], [3]], [0, 0]),  # of one class
    ],
)
def test_classes_by_hand(readout: list[list[int]], chosen: list[int]) -> None:
    assert chosen_classes(np.array(readout)).tolist() == chosen


@pytest.mark.parametrize("earlier", [False, True], ids=["now", "in files of earlier versions"])
def test_ties_and_silence_in_the_readout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    if earlier:
        monkeypatch.setattr(schema, "chosen_classes", lambda readout: readout.argmax(axis=1))
    new, made = GrowingWriter(tmp_path / "raster.h5", HEADER), batch(HEADER, range(2))
    made.readout[:] = [[1, 5, 5], [0, 0, 0]]
    new.append(made, samples(2))
    path = new.finalize()
    monkeypatch.undo()
    with RasterReader(path) as raster:
        raster.verify()
        assert raster.predictions.tolist() == [1, -1]


@pytest.mark.parametrize(
    "factor", [1, 1 / 12, 1 / 2, 1 / 24], ids=["sums", "means", "of pairs", "means of pairs"]
)
def test_counts_of_spikes_are_known_from_their_sum(factor: float) -> None:
    counts, neurons = (
        np.array([[5, 3, 2], [4, 4, 0], [0, 0, 0]]),
        6 if factor in (1 / 2, 1 / 24) else 3,
    )
    found = CountedSpikes.of((counts * factor).astype(np.float32), 18, neurons, 12)
    assert found is not None and found.counts.tolist() == counts.tolist()
    most = 12 * neurons // 3
    words = [f"a 5 of {most} spikes, next b 3", f"a 4 of {most} spikes, tied with b", NO_ANSWER]
    assert [found.words(row, "abc".__getitem__) for row in range(3)] == words


@pytest.mark.parametrize(
    ("sums", "neurons"), [([5, 3, 3], 3), ([6, 5, -1], 3), ([5.5, 3.5, 1], 3), ([5, 3, 2], 4)]
)
def test_other_sums_are_no_counts(sums: list[float], neurons: int) -> None:
    assert CountedSpikes.of(np.array([sums]), 10, neurons, 12) is None
