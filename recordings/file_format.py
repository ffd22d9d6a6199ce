"""A recording is a raster or a file of maps: what a file says it is, and its reader."""

from __future__ import annotations

from spikesam.common.errors import InputError
from spikesam.common.text import printable
from spikesam.recordings.hdf5 import CheckedFile, FileSource
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader

RASTER, MAPS = RasterReader.HEADER.STAMP.format, MapReader.HEADER.STAMP.format
WHAT = "a raster (raster.h5) or a file of maps (sam.h5)"


def file_format(source: FileSource) -> str:
    """Read the root attribute "format", "spike-raster" or "spike-maps", in a process of its own
    first; nothing else.
    """
    checked = CheckedFile(source, "recording", WHAT, f"{__name__}:file_format")
    try:
        name: str = checked.attributes(checked.root, {"format": str})["format"]
        if name not in (RASTER, MAPS):
            raise checked.fail("/@format", repr(name)[:80], f"{RASTER} or {MAPS}, {WHAT}")
        return name
    finally:
        checked.file.close()


def open_recording(source: FileSource) -> RasterReader | MapReader:
    """Open a raster or a file of maps, whichever it is, with every check."""
    try:
        return RasterReader(source) if file_format(source) == RASTER else MapReader(source)
    except OSError as error:  # a name that the system refuses
        raise InputError(printable(error)) from error
