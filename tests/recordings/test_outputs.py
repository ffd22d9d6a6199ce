"""Outputs that are numbers are no classes, and the file says so."""

from dataclasses import replace
from pathlib import Path

import pytest

from spikesam.common.errors import InputError
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.raster.writer import GrowingWriter
from tests.recordings.rasters import HEADER, batch, samples


@pytest.mark.parametrize(
    ("header", "outputs"),
    [
        (HEADER, "classes"),
        (replace(HEADER, outputs="values"), "values"),
        (replace(HEADER, classes=1), "values"),
    ],
    ids=["classes", "numbers", "one number"],
)
def test_a_file_says_what_its_outputs_are(
    tmp_path: Path, header: RasterHeader, outputs: str
) -> None:
    writer = GrowingWriter(tmp_path / "raster.h5", header)
    made = batch(header, range(2))
    made.readout[:] = range(1, header.classes + 1)
    writer.append(made, samples(2))
    with RasterReader(writer.finalize()) as raster:
        raster.verify()
        assert raster.header.outputs == outputs
        assert raster.predictions.tolist() == ([2, 2] if outputs == "classes" else [-1, -1])
        expected = [[number / 2 for number in range(1, header.classes + 1)]] * 2
        assert raster.header.values(raster.readout).tolist() == expected


def test_other_outputs_are_refused() -> None:
    with pytest.raises(InputError, match="outputs: got 'numbers', expected 'classes' or 'values'"):
        replace(HEADER, outputs="numbers")
