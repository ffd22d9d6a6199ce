"""A raster or a file of maps as a Zarr store, with the names that the engine of xarray gives."""

from __future__ import annotations

import math
import warnings
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesam.common.disk import replacing_folder, writing
from spikesam.common.errors import InputError
from spikesam.pipeline.interop.exporter import Advance, Exporter, Selection, not_installed

if TYPE_CHECKING:
    import xarray as xr
    import zarr

CHUNK_BYTES = 4 << 20  # before compression
FILE_BYTES = 4096  # of each variable, and of the folder, what is no value


class ZarrStore(Exporter):
    """Chunks of whole samples, or of the steps of one, compressed by blosc's zstd after its bits
    were shuffled.
    """

    takes_maps = True

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        self.dataset = _dataset(selection)

        variables = [variable for _, variable in self._variables()]
        bits = sum(
            variable.nbytes
            for variable in variables
            if _chunked(variable) and variable.dtype == bool
        )
        other_bytes = sum(variable.nbytes for variable in variables) - bits
        # Shuffled bits take as much space as packed bits.
        self.size = int(selection.recording.size * selection.fraction) + FILE_BYTES
        self.steps = sum(len(_regions(variable)) for variable in variables)
        self.most = (
            bits // 8 + other_bytes + 2 * FILE_BYTES * (1 + len(variables)) + 64 * self.steps
        )

    def write(self, path: Path, advance: Advance, overwrite: bool) -> None:
        """Write chunk by chunk."""
        import zarr

        with writing(path), replacing_folder(path, overwrite) as temporary:
            group = zarr.open_group(temporary, mode="w", zarr_format=3)
            attributes = dict(self.dataset.attrs)
            tables = [name for name in self.dataset.coords if name not in self.dataset.dims]
            group.attrs.update({**attributes, "coordinates": " ".join(map(str, tables))})
            for name, variable in self._variables():
                array = _create(group, name, variable)
                for region in _regions(variable):
                    array[region] = variable[region].values
                    advance()
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "Consolidated metadata"
                )  # xarray looks for it first, as yet
                zarr.consolidate_metadata(group.store, zarr_format=3)

    def _variables(self) -> list[tuple[str, xr.Variable]]:
        return [(str(name), variable) for name, variable in self.dataset.variables.items()]


def _dataset(selection: Selection) -> xr.Dataset:
    """The selection as xarray has it; nothing is read yet."""
    try:
        import zarr

        from spikesam.pipeline.interop._dataset import xarray_of
    except ImportError as error:
        raise not_installed(error.name or "zarr", "zarr") from None
    if int(zarr.__version__.split(".")[0]) < 3:
        raise InputError(
            f"this format needs the library zarr 3, got {zarr.__version__}; pip install "
            "'spikesam[zarr]'"
        )
    dataset = xarray_of(selection.recording, selection.names)
    first, last = selection.samples.start, selection.samples.stop
    stepped = dataset.sizes.get("stepped", 0)
    chosen = dataset.isel(
        sample=slice(first, last), stepped=slice(min(first, stepped), last), missing_dims="ignore"
    )
    return chosen if chosen.sizes.get("stepped", 1) else chosen.drop_dims(["stepped", "step"])


def _chunked(variable: xr.Variable) -> bool:
    return "preferred_chunks" in variable.encoding


def _chunks(variable: xr.Variable) -> tuple[int, ...]:
    """Whole samples of at most 4 MiB, or some steps of one; tables are one chunk."""
    if not _chunked(variable):
        return variable.shape
    samples, steps, *place = variable.shape
    step_bytes = math.prod(place) * variable.dtype.itemsize
    samples_in_chunk = CHUNK_BYTES // (steps * step_bytes)
    return (
        min(samples, max(1, samples_in_chunk)),
        steps if samples_in_chunk else max(1, CHUNK_BYTES // step_bytes),
        *place,
    )


def _regions(variable: xr.Variable) -> list[tuple[slice, ...]]:
    """Every chunk of a variable."""
    cuts = [
        [slice(start, min(start + side, length)) for start in range(0, length, side)]
        for side, length in zip(_chunks(variable), variable.shape, strict=True)
    ]
    return list(product(*cuts))


def _create(group: zarr.Group, name: str, variable: xr.Variable) -> Any:
    from zarr.codecs import BloscCodec

    bits = variable.dtype == bool
    return group.create_array(
        name,
        shape=variable.shape,
        chunks=_chunks(variable),
        dtype=variable.dtype,
        compressors=BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle" if bits else "shuffle"),
        dimension_names=[str(dim) for dim in variable.dims],
        attributes=dict(variable.attrs),
    )
