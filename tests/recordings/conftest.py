"""A raster and a file of maps, which are one kind of file: most tests are of both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.schema import Header
from tests.recordings import maps, rasters


@dataclass(frozen=True)
class Kind:
    """One of both: its name in messages, its reader, its golden file of three samples, and what
    that holds.
    """

    noun: str
    reader: Callable[..., Any]
    golden: Path
    header: Header
    values: str  # of the layer conv1, in shape (N, …)


RASTER = Kind("raster", RasterReader, rasters.GOLDEN, rasters.HEADER, "layers/001_conv1/spikes")
MAPS = Kind("maps", MapReader, maps.GOLDEN, maps.HEADER, "layers/001_conv1/sam")
KINDS = (RASTER, MAPS)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.noun)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind in turn."""
    found: Kind = request.param
    return found


@pytest.fixture
def file(kind: Kind, tmp_path: Path) -> Path:
    """A file of the kind to read or to spoil."""
    path = tmp_path / f"{kind.noun}.h5"
    path.write_bytes(kind.golden.read_bytes())
    return path
