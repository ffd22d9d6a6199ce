"""What an HDF5 file says it is: a raster, or a file of maps."""

from __future__ import annotations

from .hdf5 import CheckedFile, Source
from .maps.schema import FORMAT as MAPS
from .raster.schema import FORMAT as RASTER

WHAT = "a raster (raster.h5) or a file of maps (sam.h5)"


def file_format(source: Source) -> str:
    """Read the root attribute `format`, in a process of its own first, as every file of unknown origin is opened.

    Parameters
    ----------
    source : name of the file, or its content in memory

    Returns
    -------
    "spike-raster" or "spike-maps"; nothing else of the file was checked

    Raises
    ------
    RasterError : if it is neither
    """
    checked = CheckedFile(source, "recording", WHAT, f"{__name__}:file_format")
    try:
        found: str = checked.attributes(checked.root, "/", {"format": str})["format"]
        if found not in (RASTER, MAPS):
            raise checked.fail("/@format", repr(found)[:80], f"{RASTER} or {MAPS}, {WHAT}")
        return found
    finally:
        checked.file.close()
