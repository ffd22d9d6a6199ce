"""What an HDF5 file says it is."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from spikesam.recordings.errors import RasterError
from spikesam.recordings.file_format import file_format
from tests.recordings.rasters import GOLDEN
from tests.recordings.test_maps import write


def test_rasters_and_maps_say_what_they_are(tmp_path: Path) -> None:
    assert file_format(GOLDEN) == "spike-raster"
    assert file_format(GOLDEN.read_bytes()) == "spike-raster"
    assert file_format(write(tmp_path / "sam.h5")) == "spike-maps"


def test_anything_else_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "other"
    with pytest.raises(
        RasterError, match=r"other.h5: /@format: 'other', expected spike-raster or spike-maps, a raster"
    ):
        file_format(tmp_path / "other.h5")
    (tmp_path / "text.h5").write_text("spike-raster")
    with pytest.raises(RasterError, match=r"text.h5: cannot be read as HDF5"):
        file_format(tmp_path / "text.h5")
