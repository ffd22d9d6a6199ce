"""The engine of xarray: `xr.open_dataset("raster.h5", engine="spikesam")`.

xarray finds it through the entry point "xarray.backends" of this package, and imports it whenever
it looks for engines: so this module imports little.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    import xarray as xr


class SpikesamBackend(BackendEntrypoint):
    """Opens rasters and files of maps, lazily and with every check."""

    description = "Spikes and maps that spikesam recorded (raster.h5, sam.h5)"
    open_dataset_parameters = ("filename_or_obj", "drop_variables")

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None
    ) -> xr.Dataset:
        """See :func:`spikesam.pipeline.interop._dataset.open_xarray`."""
        from spikesam.pipeline.interop._dataset import open_xarray

        dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables or ()
        return open_xarray(filename_or_obj, [*dropped])

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """True for a raster or a file of maps; opened only if its name and first bytes are those of
        HDF5.
        """
        try:
            path = Path(filename_or_obj)
        except TypeError:
            return False
        from spikesam.recordings.files import has_hdf5_name, has_hdf5_signature

        if not (has_hdf5_name(path) and has_hdf5_signature(path)):
            return False
        from spikesam.recordings.errors import RasterError
        from spikesam.recordings.file_format import file_format

        try:
            file_format(path)
        except RasterError:
            return False
        return True
