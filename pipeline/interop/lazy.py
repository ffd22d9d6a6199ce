"""Spikes and maps as arrays of xarray, which read a selection when it is used."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray, FileManager
from xarray.core import indexing

from spikesam.recordings.errors import RasterError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader

Key = Any  # of one axis: a whole number, a slice or an array of whole numbers


def identity(reader: RasterReader | MapReader) -> str:
    """Text that differs between recordings; reads neither spikes nor maps."""
    return reader.raster_digest if isinstance(reader, RasterReader) else repr(reader.header)


class LazyLayer(BackendArray):
    """One layer, (sample, step, …), read sample by sample; steps are those between the first and the last asked for.

    It may be copied to other processes, which open the file for themselves: `files` opens it, and again after it was
    closed because too many others are open.
    """

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self, files: FileManager[Any], reader: RasterReader | MapReader, layer: str, shape: tuple[int, ...]
    ) -> None:
        self._files, self._identity, self._layer, self.shape = files, identity(reader), layer, shape

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """The selection that xarray asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._select)

    @abstractmethod
    def _read(self, reader: Any, sample: int, first: int, last: int) -> NDArray[Any]:
        """Steps `first` to `last` - 1 of one sample."""

    def _select(self, key: tuple[Key, ...]) -> NDArray[Any]:
        reader = self._files.acquire()
        if identity(reader) != self._identity:
            raise RasterError(f"{reader.where}: was replaced by another file since it was opened; open it again")
        positions = [np.arange(side)[index] for side, index in zip(self.shape, key, strict=True)]
        samples, times = np.atleast_1d(positions[0]), np.atleast_1d(positions[1])
        found = np.empty([len(samples), *(each.size for each in positions[1:] if each.ndim)], self.dtype)
        if found.size:
            first, last = int(times.min()), int(times.max()) + 1
            inside = (positions[1] - first, *key[2:])
            for row, sample in enumerate(samples):
                found[row] = _orthogonal(self._read(reader, int(sample), first, last), inside)
        return found if positions[0].ndim else found[0]


class LazySpikes(LazyLayer):
    """Spikes of one layer of a raster, bool."""

    dtype = np.dtype(np.bool_)

    def _read(self, reader: Any, sample: int, first: int, last: int) -> NDArray[Any]:
        spikes = reader.spikes(self._layer, slice(sample, sample + 1), slice(first, last))
        return spikes.reshape(last - first, *self.shape[2:])


class LazySums(LazyLayer):
    """Maps of one layer of a file of maps, summed, float32: (sample, row, column), of which some rows are read."""

    def _read(self, reader: Any, sample: int, first: int, last: int) -> NDArray[Any]:
        return reader.read_sum(reader.layer(self._layer), sample)[first:last]


class LazyMaps(LazyLayer):
    """Maps of one layer of a file of maps, step by step, float32."""

    def _read(self, reader: Any, sample: int, first: int, last: int) -> NDArray[Any]:
        return reader[self._layer][sample][first:last]


def _orthogonal(block: NDArray[Any], key: Sequence[Key]) -> NDArray[Any]:
    """Index the axes independently; the last axis first, because a whole number removes its axis."""
    for axis in reversed(range(len(key))):
        block = block[(slice(None),) * axis + (key[axis],)]
    return block
