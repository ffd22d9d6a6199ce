"""A raster or a file of maps as a data set of xarray: which variables, dimensions, coordinates and
attributes it has.

docs/other-formats.md describes them for those who use them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray, CachingFileManager, DummyFileManager, FileManager
from xarray.core import indexing

from spikesam.common.errors import at
from spikesam.pipeline.maps.method import method_of
from spikesam.recordings.errors import RasterError
from spikesam.recordings.file_format import open_recording
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import SUM
from spikesam.recordings.raster.reader import RasterReader

SAMPLE, STEPPED, STEP, CLASS, READOUT = "sample", "stepped", "step", "class", "readout"
COORDINATES = (SAMPLE, "index", "label", "prediction", STEP, "seconds")
HEADER = (
    "backend",
    "device",
    "precision",
    "dt",
    "seed",
    "network_sha256",
    "dataset",
    "config",
    "layer_delay",
)


def open_xarray(source: Any, drop: Collection[str] = ()) -> xr.Dataset:
    """Open a raster or a file of maps, by name or content; spikes and maps are read when they are
    used.
    """
    files: CachingFileManager[Any] = CachingFileManager(_open, source, mode="r")
    dataset = _dataset(files, files.acquire()).drop_vars(
        [name for name in drop if name], errors="ignore"
    )
    dataset.set_close(files.close)
    return dataset


def _open(source: Any, mode: str = "r") -> RasterReader | MapReader:
    """Open a recording; copies of xarray's manager of open files give a mode, asked or not."""
    return open_recording(source)


def xarray_of(reader: RasterReader | MapReader, layers: Sequence[str]) -> xr.Dataset:
    """Some layers of an open recording, which stays open; reads neither spikes nor maps."""
    dataset = _dataset(DummyFileManager(reader), reader)
    return dataset.drop_vars(
        [
            name
            for name, variable in dataset.items()
            if variable.attrs.get("layer", layers[0]) not in layers
        ]
    )


Variables = dict[Hashable, xr.Variable]


def _dataset(files: FileManager[Any], reader: RasterReader | MapReader) -> xr.Dataset:
    make = _raster if isinstance(reader, RasterReader) else _maps
    variables, coordinates, attributes = make(files, reader)  # type: ignore[arg-type]
    dataset = xr.Dataset(variables, coordinates, attributes)
    dataset.encoding["source"] = reader.file_name
    return dataset


def _raster(
    files: FileManager[Any], raster: RasterReader
) -> tuple[Variables, Variables, dict[str, Any]]:
    header, names = raster.header, Names([*COORDINATES, CLASS, READOUT])
    variables: Variables = {}
    for layer in raster.layers:
        name = names.new(layer.name)
        place = ("channel",) if layer.shape[1:] == (1, 1) else ("channel", "row", "column")
        dims = (SAMPLE, STEP, *(names.new(f"{layer.name}_{axis}") for axis in place))
        shape = (raster.n_samples, raster.timesteps, *layer.shape[: len(place)])
        attrs = {
            "long_name": f"spikes of {layer.name}",
            "layer": layer.name,
            "number": layer.number,
            "kind": layer.kind,
            "threshold": layer.threshold,
            "leak": layer.leak,
            "steps_that_matter": raster.steps_that_matter(layer),
        }
        variables[name] = _lazy(dims, LazyValues(files, raster, layer.path("spikes"), shape), attrs)
        attrs = {"long_name": f"spikes per step of {layer.name}", "layer": layer.name}
        variables[names.new(f"{layer.name}_count")] = xr.Variable(
            (SAMPLE, STEP), raster.counts(layer), attrs
        )
    if header.classes:
        attrs = {"long_name": "raw sums over all steps", "scale": header.readout_scale}
        variables[READOUT] = xr.Variable((SAMPLE, CLASS), raster.readout, attrs)
    coordinates = _coordinates(raster)
    seconds = np.arange(raster.timesteps) * header.dt
    coordinates["seconds"] = xr.Variable(
        STEP, seconds, {"units": "s", "long_name": "beginning of the step"}
    )
    attrs = {name: getattr(header, name) for name in HEADER}
    return (
        variables,
        coordinates,
        {**attrs, "run_uuid": raster.run_uuid, "raster_digest": raster.raster_digest},
    )


def _maps(files: FileManager[Any], maps: MapReader) -> tuple[Variables, Variables, dict[str, Any]]:
    header, names = maps.header, Names([*COORDINATES, STEPPED])
    with at(maps.file_name):
        method = method_of(header)
    variables: Variables = {}
    for layer in maps.layers:
        place = (names.new(f"{layer.name}_row"), names.new(f"{layer.name}_column"))
        attrs = {
            "layer": layer.name,
            "number": layer.number,
            "steps_that_matter": layer.steps_that_matter,
        }
        sums = LazyValues(files, maps, layer.path(SUM), (maps.n_samples, *layer.shape))
        title = {"long_name": f"{method.title} of {layer.name}, summed over the steps that matter"}
        variables[names.new(layer.name)] = _lazy((SAMPLE, *place), sums, title | attrs)
        if header.stepped:
            shape = (header.stepped, len(maps.steps), *layer.shape)
            steps = LazyValues(files, maps, layer.path(header.method), shape)
            title = {"long_name": f"{method.title} of {layer.name}"}
            variables[names.new(f"{layer.name}_steps")] = _lazy(
                (STEPPED, STEP, *place), steps, title | attrs
            )
    coordinates = _coordinates(maps)
    if header.stepped:
        coordinates[STEP] = xr.Variable(STEP, np.array(maps.steps))
        attrs = {"long_name": "position in the file, of the samples whose steps are kept"}
        coordinates[STEPPED] = xr.Variable(STEPPED, np.arange(header.stepped), attrs)
    else:
        del coordinates[STEP]
    parameters = {
        name: int(value) if isinstance(value, bool) else value
        for name, value in header.parameters.items()
    }
    attrs = {"method": header.method, "timesteps": header.timesteps, method.source: header.source}
    return variables, coordinates, {**attrs, **parameters}


def _lazy(dims: tuple[str, ...], array: LazyValues, attrs: dict[str, Any]) -> xr.Variable:
    """A variable whose chunks are those of the file: some steps of one sample, or a sum."""
    sizes = (
        dict(zip(dims, array.shape, strict=True))
        | {dims[0]: 1}
        | ({STEP: array.rows} if STEP in dims else {})
    )
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), attrs, {"preferred_chunks": sizes})


Key = Any  # of one axis: a whole number, a slice or an array of whole numbers


class LazyValues(BackendArray):
    """Spikes or maps of a layer, (sample, …), read sample by sample, from the first to the last row
    that is asked for.

    It may be copied to other processes, which open the file for themselves: `files` opens it, and
    again after it was closed because too many others are open. `path` is where the values lie in
    the file, `shape` their shape for xarray.
    """

    def __init__(
        self,
        files: FileManager[Any],
        reader: RasterReader | MapReader,
        path: str,
        shape: tuple[int, ...],
    ) -> None:
        self._files, self._identity, self._path, self.shape = files, _identity(reader), path, shape
        self.dtype: np.dtype[Any] = np.dtype(
            np.bool_ if isinstance(reader, RasterReader) else np.float32
        )
        self.rows = reader.header.one_sample[path].chunks[1]  # of a chunk

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """The selection that xarray asks for."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._select
        )

    def _select(self, key: tuple[Key, ...]) -> NDArray[Any]:
        reader = self._files.acquire()
        if _identity(reader) != self._identity:
            raise RasterError(
                f"{reader.file_name}: was replaced by another file since it was opened; open it "
                "again"
            )
        positions = [np.arange(side)[index] for side, index in zip(self.shape, key, strict=True)]
        samples, rows = np.atleast_1d(positions[0]), np.atleast_1d(positions[1])
        selected = np.empty(
            [
                len(samples),
                *(axis_positions.size for axis_positions in positions[1:] if axis_positions.ndim),
            ],
            self.dtype,
        )
        if selected.size:
            first, last = int(rows.min()), int(rows.max()) + 1
            inside = (positions[1] - first, *key[2:])
            for place, sample in enumerate(samples):
                values = reader.rows(self._path, int(sample), first, last)
                if self.dtype == np.bool_:
                    values = np.unpackbits(values, axis=-1, count=math.prod(self.shape[2:]))
                selected[place] = _orthogonal(values.reshape(last - first, *self.shape[2:]), inside)
        return selected if positions[0].ndim else selected[0]


def _identity(reader: RasterReader | MapReader) -> str:
    """Text that differs between recordings; reads neither spikes nor maps."""
    return reader.raster_digest if isinstance(reader, RasterReader) else repr(reader.header)


def _orthogonal(block: NDArray[Any], key: Sequence[Key]) -> NDArray[Any]:
    """Index the axes independently; the last axis first, because a whole number removes its
    axis.
    """
    for axis in reversed(range(len(key))):
        block = block[(slice(None),) * axis + (key[axis],)]
    return block


def _coordinates(reader: RasterReader | MapReader) -> Variables:
    table = {
        "index": reader.samples.index,
        "label": reader.labels,
        "prediction": reader.predictions,
    }
    descriptions = {
        "index": "position in the data set",
        "label": "class, -1 where unknown",
        "prediction": "class that the network chose, -1 where unknown",
    }
    return {
        SAMPLE: xr.Variable(
            SAMPLE, np.arange(reader.n_samples), {"long_name": "position in the file"}
        ),
        **{
            name: xr.Variable(SAMPLE, values, {"long_name": descriptions[name]})
            for name, values in table.items()
        },
        STEP: xr.Variable(STEP, np.arange(reader.timesteps)),
    }


class Names:
    """Hands out every name once, and none of `taken`: a layer may have the name of a coordinate."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def new(self, name: str) -> str:
        """The name, with underscores behind it until it is free."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
