"""Writing a file of maps sample by sample; it appears whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
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

from .reader import MapReader
from .schema import (
    AXES,
    DIGEST,
    FORMAT,
    MAPS,
    METHODS,
    SCHEMA_VERSION,
    STEPS,
    SUM,
    SUM_AXES,
    MapHeader,
    digest_path,
)


class MapWriter:
    """Writes maps sample by sample, so that memory does not grow with N; made by :func:`writing_maps`.

    Attributes
    ----------
    content_digest : of the finished file
    """

    content_digest: str

    def __init__(self, file: h5py.File, header: MapHeader, samples: SampleTable, check: Callable[[], object]) -> None:
        if header.stepped > len(samples):
            raise ValueError(f"{header.stepped} of {len(samples)} samples have maps step by step")
        self._file, self._header, self._check = file, header, check
        self._written = np.zeros(len(samples), np.bool_)
        self._predictions = np.zeros(len(samples), np.int32)
        self._samples = samples
        self._digests: dict[str, NDArray[np.bytes_]] = {}
        self._attributes: dict[str, dict[str, Any]] = {}
        self._datasets: dict[str, h5py.Dataset] = {}
        self._rows: dict[str, int] = {}  # or steps, of a chunk
        self._file.attrs.update(
            format=FORMAT,
            schema_version=SCHEMA_VERSION,
            complete=np.bool_(False),
            method=header.method,
            T=header.timesteps,
            stepped=header.stepped,
        )
        method = METHODS[header.method]
        self._file.attrs[method.source] = header.source
        for name, kind in method.parameters.items():
            value = header.parameters[name]
            self._file.attrs[name] = np.bool_(value) if kind is bool else kind(value)
        for layer in header.layers:
            about = {"axes": SUM_AXES, "steps": layer.steps_that_matter}
            self._create(header.sum_path(layer), SUM, header.sizes(layer, len(samples)), about)
            if header.stepped:
                self._create(header.path(layer), MAPS, header.sizes(layer, header.stepped), {"axes": AXES})

    def write(
        self,
        sample: int,
        prediction: int,
        sums: Mapping[str, NDArray[np.float32]],
        maps: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Store one sample.

        Parameters
        ----------
        prediction : the class that the network chose, -1 if unknown
        sums : (H, W) float32 for every layer
        maps : (S, H, W) float32 for every layer, of the steps that are kept; of the first `stepped` samples alone
        """
        header = self._header
        for layer in header.layers:
            self._store(header.sum_path(layer), sample, sums[layer.name], layer.shape)
            if sample < header.stepped:
                self._store(header.path(layer), sample, maps[layer.name], (len(header.steps), *layer.shape))
        self._predictions[sample] = prediction
        self._written[sample] = True

    def copy(self, first: int, maps: MapReader) -> None:
        """Take the samples of another file of the same maps, chunk by chunk as they are stored.

        Parameters
        ----------
        first : position here of its first sample
        maps : whose seal was checked
        """
        header = self._header
        for layer in header.layers:
            for sample in range(maps.n_samples):
                at = first + sample
                kept = [(header.sum_path(layer), SUM)] + [(header.path(layer), MAPS)] * (at < header.stepped)
                for path, spec in kept:
                    chunks = maps.stored_chunks(path, spec, layer, sample)
                    store_chunks(self._datasets[path], at, [chunks])
                    self._digests[digest_path(path)][at] = maps.digest(path, sample)
                self._check()
        self._predictions[first : first + maps.n_samples] = maps.predictions
        self._written[first : first + maps.n_samples] = True

    def finish(self) -> None:
        """Mark the file complete; a fault of the program if a sample was never written."""
        if not self._written.all():
            raise ValueError(f"maps of {self._written.sum()} samples were written, expected {len(self._written)}")
        samples: tuple[NDArray[Any], ...] = (self._samples.index, self._samples.label, self._predictions)
        tables: dict[str, tuple[DatasetSpec, NDArray[Any]]] = {
            f"/samples/{spec.name}": (spec, table)
            for spec, table in zip(SAMPLE_DATASETS.values(), samples, strict=True)
        }
        for path in self._header.tables():
            is_steps = path == "/steps"
            tables[path] = (STEPS, np.array(self._header.steps)) if is_steps else (DIGEST, self._digests[path])
        stored = {path: np.asarray(table, spec.dtype) for path, (spec, table) in tables.items()}
        for path, (spec, _) in tables.items():
            chunks = spec.chunks(dict.fromkeys(spec.axes, len(stored[path])))
            self._file.create_dataset(path, data=stored[path], chunks=chunks, fletcher32=True)
        attributes = {"/": dict(self._file.attrs), **self._attributes}
        self.content_digest = content_digest(attributes, stored.values())
        self._file.attrs["content_digest"] = self.content_digest
        self._file.attrs["complete"] = np.bool_(True)

    def _create(self, path: str, spec: DatasetSpec, sizes: Mapping[str, int], about: dict[str, Any]) -> None:
        dataset = self._file.create_dataset(
            path,
            spec.shape(sizes),
            spec.dtype,
            chunks=spec.chunks(sizes),
            compression="gzip",
            compression_opts=DEFLATE_LEVEL,
            fletcher32=True,
        )
        dataset.attrs.update(about)
        self._datasets[path], self._rows[path] = dataset, spec.chunks(sizes)[1]
        self._attributes[path] = {name: dataset.attrs[name] for name in about}
        self._digests[digest_path(path)] = np.zeros(sizes["N"], DIGEST.dtype)

    def _store(self, path: str, sample: int, maps: NDArray[np.float32], shape: tuple[int, ...]) -> None:
        if maps.shape != shape:
            raise ValueError(f"{path}: maps of shape {maps.shape}, the header says {shape}")
        stored = np.ascontiguousarray(maps, MAPS.dtype)
        self._digests[digest_path(path)][sample] = sample_digest(stored)
        store_chunks(self._datasets[path], sample, [encode_chunks(stored, self._rows[path])])
        self._check()


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
