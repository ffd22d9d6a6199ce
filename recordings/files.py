"""Names of recordings: what looks like HDF5, and the raster in the folder of a run."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from spikesam.common.errors import InputError
from spikesam.common.files import open_file, refuse_links

SIGNATURE = b"\x89HDF\r\n\x1a\n"  # of HDF5
RASTER = "raster.h5"  # in the folder of a run


def has_hdf5_name(path: Path) -> bool:
    """True if a file has a name of HDF5."""
    return path.suffix.lower() in (".h5", ".hdf5")


def has_hdf5_signature(path: Path) -> bool:
    """True if a file begins as HDF5 does, which is not opened as such; False if it cannot be
    read.
    """
    with suppress(OSError, ValueError), open_file(path) as file:
        return file.read(len(SIGNATURE)) == SIGNATURE
    return False


def raster_file(path: Path, expected: str, name: str = RASTER) -> Path:
    """The path itself, or the raster or file of this `name` in the folder of a run, which nothing
    may lead out of.
    """
    if not os.path.isdir(path):
        return path
    refuse_links(path, [name])
    if not (path / name).is_file():
        raise InputError(f"{path}: has no {name}, expected {expected}")
    return path / name
