"""A small raster and a small file of maps that other programs are to read."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.recordings.maps import write
from tests.recordings.rasters import HEADER, record

COUNT = 5


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """5 samples, 6 steps of 2 ms, layers input (2, 4, 5), conv1 (3, 4, 5), fc1 (7, 1, 1), 3
    classes.
    """
    return record(tmp_path / "run", COUNT, replace(HEADER, dt=0.002))


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """3 samples, 2 of them with maps of 3 of 6 steps, layers input (4, 5), conv1 (2, 3)."""
    return write(tmp_path / "maps" / "sam.h5")
