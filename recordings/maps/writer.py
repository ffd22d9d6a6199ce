"""Writing a file of maps sample by sample; it appears whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recordings.chunks import encode_chunks, store_chunks
from recordings.compress import DEFLATE_LEVEL
from recordings.digests import content_digest, sample_digest
from recordings.disk import reason, replacing
from recordings.errors import InputError
from recordings.lock import file_lock
from recordings.schema import SAMPLE_DATASETS, DatasetSpec, SampleTable
from recordings.target import hdf5_in_memory, new_hdf5

from .schema import AXES, DIGEST, FORMAT, MAPS, MAPS_ATTRIBUTES, METHODS, SCHEMA_VERSION, MapHeader


class MapWriter:
    """Writes maps sample by sample, so that memory does not grow with N; made by :func:`writing_maps`."""

    def __init__(self, file: h5py.File, header: MapHeader, samples: SampleTable, check: Callable[[], object]) -> None:
        self._file, self._header, self._check = file, header, check
        self._written = np.zeros(len(samples), np.bool_)
        self._predictions = np.zeros(len(samples), np.int32)
        self._samples = samples
        self._digests = {layer.name: np.zeros(len(samples), DIGEST.dtype) for layer in header.layers}
        self._file.attrs.update(
            format=FORMAT,
            schema_version=SCHEMA_VERSION,
            complete=np.bool_(False),
            method=header.method,
            T=header.timesteps,
        )
        method = METHODS[header.method]
        self._file.attrs[method.source] = header.source
        for name, kind in method.parameters.items():
            value = header.parameters[name]
            self._file.attrs[name] = np.bool_(value) if kind is bool else kind(value)
        for layer in header.layers:
            sizes = header.sizes(len(samples), layer)
            maps = self._file.create_dataset(
                self._header.path(layer),
                MAPS.shape(sizes),
                MAPS.dtype,
                chunks=MAPS.chunks(sizes),
                compression="gzip",
                compression_opts=DEFLATE_LEVEL,
                fletcher32=True,
            )
            maps.attrs.update(axes=AXES, steps=layer.steps_that_matter)

    def write(self, sample: int, prediction: int, maps: Mapping[str, NDArray[np.float32]]) -> None:
        """Store one sample: the class that the network chose (-1: unknown), and (T, H, W) float32 for every layer."""
        for layer in self._header.layers:
            of_layer, shape = maps[layer.name], (self._header.timesteps, *layer.shape)
            if of_layer.shape != shape:
                raise ValueError(f"{layer.name}: maps of shape {of_layer.shape}, the header says {shape}")
            dataset = self._file[self._header.path(layer)]
            stored = np.ascontiguousarray(of_layer, MAPS.dtype)
            self._digests[layer.name][sample] = sample_digest(stored)
            store_chunks(dataset, sample, [encode_chunks(stored, dataset.chunks[1])])
            self._check()
        self._predictions[sample] = prediction
        self._written[sample] = True

    def finish(self) -> None:
        """Mark the file complete; a fault of the program if a sample was never written."""
        if not self._written.all():
            raise ValueError(f"maps of {self._written.sum()} samples were written, expected {len(self._written)}")
        tables: list[NDArray[Any]] = [self._samples.index, self._samples.label, self._predictions]
        for spec, table in zip(SAMPLE_DATASETS.values(), tables, strict=True):
            self._write_table(f"/samples/{spec.name}", spec, table)
        for layer in self._header.layers:
            self._write_table(self._header.digest_path(layer), DIGEST, self._digests[layer.name])
        self._file.attrs["content_digest"] = self._content_digest([*tables, *self._digests.values()])
        self._file.attrs["complete"] = np.bool_(True)

    def _content_digest(self, tables: Iterable[NDArray[Any]]) -> str:
        attributes = {"/": dict(self._file.attrs)}
        for layer in self._header.layers:
            where = self._header.path(layer)
            attributes[where] = {name: self._file[where].attrs[name] for name in MAPS_ATTRIBUTES}
        return content_digest(attributes, tables)

    def _write_table(self, where: str, spec: DatasetSpec, values: NDArray[Any]) -> None:
        chunks = spec.chunks({"N": len(values)})
        self._file.create_dataset(where, data=np.asarray(values, spec.dtype), chunks=chunks, fletcher32=True)


@contextmanager
def writing_maps(
    target: Path | str | io.BytesIO, header: MapHeader, samples: SampleTable, *, overwrite: bool = False
) -> Iterator[MapWriter]:
    """Write a file of maps that is at `target` when the block ends well, with every map in it, or else not at all.

    Parameters
    ----------
    target : name of the file, or what holds its content in memory afterwards
    overwrite : replace a file that exists

    Raises
    ------
    InputError : if it cannot be written there, exists, is being written by another, or the disk is full
    """
    if isinstance(target, io.BytesIO):
        with hdf5_in_memory() as (file, image):
            writer = MapWriter(file, header, samples, lambda: None)
            yield writer
            writer.finish()
            target.seek(0)
            target.truncate()
            target.write(image())
        return
    path = Path(target)
    try:
        with (
            file_lock(path),
            replacing(path, overwrite=overwrite) as temporary,
            new_hdf5(temporary) as (file, on_disk),
        ):
            writer = MapWriter(file, header, samples, on_disk.check)
            yield writer
            writer.finish()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); free space or choose another --out") from error
