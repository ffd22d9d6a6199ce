"""summary.json: its model, its documentation, and what is worked out for it."""

import re
from pathlib import Path

import numpy as np
import pytest

from spikesam.pipeline.engine.summary import (
    ImageAnswer,
    Interval,
    LocalisationScore,
    Summary,
    accuracy,
    answers,
)
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings.rasters import record

DOCUMENT = Path(__file__).parents[3] / "docs" / "summary.md"


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> RasterReader:
    """Eight samples with labels 0, 1, 2, -1 … and readouts of small integers."""
    return RasterReader(record(tmp_path_factory.mktemp("raster"), 8))


def test_every_field_is_documented_and_no_other() -> None:
    table = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert table == list(Summary.model_fields)
    named = set(re.findall(r"`(\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    for part in (ImageAnswer, Interval, LocalisationScore):
        assert set(part.model_fields) <= named


def test_accuracy_counts_known_classes_alone(raster: RasterReader) -> None:
    known = raster.samples.label >= 0
    found = accuracy(raster.labels, raster.predictions)
    assert found is not None
    assert found.n == known.sum() == 6
    assert found.mean == pytest.approx((raster.predictions == raster.samples.label)[known].mean())
    assert 0 <= found.low <= found.mean <= found.high <= 1


def test_answers_are_ranked_softmax_shares(raster: RasterReader) -> None:
    logits = raster.readout * 0.5 / 6  # scale ½, 6 steps
    found = answers(logits, raster.labels, [f"image {i}" for i in range(8)])
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert found[0].image == "image 0"
    assert sorted(found[0].classes) == [0, 1, 2]
    assert found[0].shares == pytest.approx(sorted(shares, reverse=True), abs=1e-4)
    assert found[0].shares == pytest.approx(shares[found[0].classes], abs=1e-4)
    assert found[3].label is None
    assert found[3].right is None
    assert found[0].right == (raster.predictions[0] == 0)
