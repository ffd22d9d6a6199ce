"""The whole raster while it is made of its samples, in any order; it appears whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from spikesam.recordings.chunks import open_dataset, read_table, store_chunks, stored_chunks, write_rows
from spikesam.recordings.digests import raster_digest
from spikesam.recordings.new_hdf5 import new_hdf5
from spikesam.recordings.raster.layout import attributes, finish, lay_out, table_paths
from spikesam.recordings.raster.records import SampleRecord, tables_of
from spikesam.recordings.raster.schema import LAYER_TABLES, RasterHeader
from spikesam.recordings.schema import SampleTable


@contextmanager
def merging(
    path: Path, header: RasterHeader, samples: SampleTable, run_uuid: str, *, overwrite: bool = False
) -> Iterator[MergedRaster]:
    """A raster to be filled with all its samples; it becomes `path` if the block succeeds, else nothing is left."""
    with new_hdf5(path, overwrite=overwrite) as (file, check):
        merged = MergedRaster(file, check, header, samples, run_uuid)
        yield merged
        merged.finish()


class MergedRaster:
    """Made by :func:`merging`; every sample is added once."""

    def __init__(
        self, file: h5py.File, check: Callable[[], object], header: RasterHeader, samples: SampleTable, run_uuid: str
    ) -> None:
        self._file, self._check, self.header, self._run_uuid = file, check, header, run_uuid
        lay_out(file, header, len(samples), run_uuid)
        file["samples/index"][:], file["samples/label"][:] = samples.index, samples.label
        self._spikes = {layer.name: open_dataset(file, f"layers/{layer.group}/spikes") for layer in header.layers}
        paths = ["/samples/prediction", *(["/readout"] if header.classes else [])]
        paths += [f"/layers/{layer.group}/{name}" for layer in header.layers for name in LAYER_TABLES]
        self._tables = {path: open_dataset(file, path) for path in paths}
        self._origins: dict[str, list[str]] = {"backend": [], "device": []}

    def add_records(self, records: list[SampleRecord]) -> None:
        """Take consecutive samples from memory."""
        first = records[0].position
        for layer in self.header.layers:
            store_chunks(self._spikes[layer.name], first, (record.layers[layer.name].chunks for record in records))
        self._added(first, tables_of(self.header, records), self.header.backend, self.header.device)

    def add_sealed(self, first: int, content: bytes) -> None:
        """Take the samples from `first` on of a shard whose bytes are those that were written."""
        with h5py.File(io.BytesIO(content), "r") as shard:
            for layer in self.header.layers:
                chunks = stored_chunks(shard, content, f"layers/{layer.group}/spikes")
                store_chunks(self._spikes[layer.name], first, chunks)
            tables = {path: read_table(shard, path) for path in self._tables}
            self._added(first, tables, shard.attrs["backend"], shard.attrs["device"])

    def finish(self) -> None:
        """Say that everything is there, once every sample was added."""
        about = attributes(self.header, self._run_uuid)
        for name, values in self._origins.items():  # who finishes the raster stands last
            ordered = sorted(values, key=getattr(self.header, name).__eq__)
            about["/"][name] = self._file.attrs[name] = "+".join(ordered)
        digests = (read_table(self._file, f"/layers/{layer.group}/digest") for layer in self.header.layers)
        tables = (read_table(self._file, path) for path in table_paths(self.header))
        finish(self._file, raster_digest(digests), about, tables)

    def _added(self, first: int, tables: Mapping[str, NDArray[Any]], backend: str, device: str) -> None:
        for path, dataset in self._tables.items():
            write_rows(dataset, first, tables[path])
        for name, value in (("backend", backend), ("device", device)):
            if value not in self._origins[name]:
                self._origins[name].append(value)
        self._check()
