"""Reading a raster or a file of maps: checked when opened, its layers read sample by sample."""

from __future__ import annotations

import hashlib
import math
import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.common.pictures import draw
from spikesam.recordings.chunks import ChunkError, decompress
from spikesam.recordings.digests import About, content_digest
from spikesam.recordings.files import raster_file
from spikesam.recordings.hdf5 import CheckedFile, FileSource
from spikesam.recordings.schema import (
    MAX_DATASET_BYTES,
    MAX_LAYERS,
    MAX_TABLES_BYTES,
    PREDICTION,
    SAMPLE_DTYPES,
    DatasetSpec,
    Header,
    NamedLayer,
    SampleTable,
    check_cap,
    find_layer,
    parse_group,
)

Layer = TypeVar("Layer", bound=NamedLayer)
Value = TypeVar("Value", bound=np.generic)


class Reader(ABC, Generic[Layer]):
    """One finished file, treated as untrusted; a context manager. Opening checks its whole
    structure.
    """

    HEADER: ClassVar[type[Header]]
    NOUN: ClassVar[str]  # what the file holds, and longer, for messages
    WHAT: ClassVar[str]
    VALUES: ClassVar[str]  # what the chunks of a sample hold
    IN_FOLDER: ClassVar[str]  # its name in the folder of a run
    header: Any
    samples: SampleTable
    predictions: NDArray[np.int32]

    @checked_arguments
    def __init__(self, source: FileSource, *, trusted: bool = False) -> None:
        if isinstance(source, (str, PathLike)) and os.path.isfile(
            os.path.join(source, self.IN_FOLDER)
        ):
            source = raster_file(Path(source), self.WHAT, self.IN_FOLDER)
        opener = None if trusted else f"{type(self).__module__}:{type(self).__qualname__}"
        self._checked = CheckedFile(source, self.NOUN, self.WHAT, opener)
        self._opened: dict[str, h5py.h5d.DatasetID] = {}
        self._tables: dict[str, NDArray[Any]] = {}
        self._tables_bytes = 0
        try:
            self._checked.expect_finished(self.HEADER.STAMP)
            self._open()
        except BaseException:
            self.close()
            raise

    beside: Any = (
        None  # pictures and names of classes of what is in memory; of a file they lie in its folder
    )

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process, such as a worker of a DataLoader, which opens and checks the file
        anew.
        """
        return type(self), (self._checked.source,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._checked.file.close()

    def __repr__(self) -> str:
        """One line: what it is, and what is in it."""
        count = f"{self.n_samples} sample{'s' * (self.n_samples > 1)}"
        return f"<{self.file_name}: {count}, {self.timesteps} steps, layers {', '.join(self)}>"

    @property
    def path(self) -> Path | None:
        """The path of the file; None if it is in memory."""
        return self._checked.path

    @property
    def file_name(self) -> str:
        """Name of the file in messages: its path, or that it is in memory."""
        return self._checked.file_name

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._checked.size

    @property
    def labels(self) -> NDArray[np.int32]:
        """(N,) int32 class of every sample, -1 where unknown."""
        return self.samples.label

    @property
    def n_samples(self) -> int:
        """N."""
        return len(self.samples)

    @property
    def timesteps(self) -> int:
        """T."""
        return int(self.header.timesteps)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that were recorded or that have maps, in order of depth, the input first if it
        is one of them.
        """
        return tuple(self.header.layers)

    def __iter__(self) -> Iterator[str]:
        """The names of the layers, in order of depth."""
        return iter([layer.name for layer in self.layers])

    def keys(self) -> tuple[str, ...]:
        """The names of the layers, as of a mapping."""
        return tuple(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        """The names of the layers, each with its spikes or maps, as of a mapping."""
        return ((name, self[name]) for name in self)

    @abstractmethod
    def __getitem__(self, layer: str | int | Layer) -> Any: ...

    def layer(self, layer: str | int | Layer) -> Layer:
        """Find a layer by its name ("conv1") or number (1); an InputError names the nearest if
        there is none.
        """
        wanted = layer if isinstance(layer, str | int) else getattr(layer, "name", repr(layer))
        if (spec := self._by_name.get(wanted)) is not None:
            return spec
        with at(self.file_name):
            return self._by_name[
                find_layer(wanted, {spec.name: spec.number for spec in self.layers})
            ]

    @cached_property
    def _by_name(self) -> dict[str | int, Layer]:
        return {spec.name: spec for spec in self.layers}

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows."""
        html: str = draw("notebook_html", self)
        return html

    def verify(self, advance: Callable[[], object] = lambda: None) -> None:
        """Check every value and everything derived from it; calls `advance` after each layer of
        each sample.
        """
        for layer in self.layers:
            of_layer = [
                dataset
                for dataset in self._datasets.values()
                if dataset.digests and dataset.path.startswith(layer.path(""))
            ]
            for sample in range(self.n_samples):
                for dataset in of_layer:
                    for _ in (
                        self._pieces(dataset.path, sample) if sample < dataset.shape[0] else ()
                    ):
                        pass
                advance()

    @abstractmethod
    def _read_header(self, attributes: About) -> Header:
        """Read the header and open all tables, not yet checked; `attributes` gets attributes of
        kind and datasets.
        """

    @abstractmethod
    def _check_piece(
        self, dataset: DatasetSpec, sample: int, first: int, rows: NDArray[Any]
    ) -> None:
        """Refuse rows of a sample, from `first` on, that cannot be."""

    def _open(self) -> None:
        """Check and read everything but spikes or maps."""
        attributes: About = {}
        self.header = self._read_header(attributes)
        datasets = self.header.datasets(self._opened["/samples/index"].shape[0])
        self._datasets: dict[str, DatasetSpec] = {dataset.path: dataset for dataset in datasets}
        for dataset in datasets:
            if dataset.path not in self._tables:  # which were checked to be read
                self._check(dataset)
        self._checked.refuse_overlaps()
        self.samples = SampleTable(self._table("/samples/index"), self._table("/samples/label"))
        self.predictions = self._table(PREDICTION)
        digest = content_digest(
            attributes, (self._table(dataset.path) for dataset in datasets if not dataset.digests)
        )
        if (stored := attributes["/"]["content_digest"]) != digest:
            raise self._checked.fail(
                "/@content_digest",
                repr(stored[:64]),
                f"{digest}; its texts, tables or attributes were changed after it was written",
            )

    def _open_root(self, further: Collection[str]) -> int:
        """Open the tables of samples, and `further` datasets at the root; returns how many samples
        they declare.
        """
        checked = self._checked
        checked.expect_children(checked.root, {"samples", "layers", *further})
        group = checked.group(checked.root, "samples")
        checked.expect_children(group, set(SAMPLE_DTYPES))
        for name in SAMPLE_DTYPES:
            self._opened[f"/samples/{name}"] = checked.open_dataset(group, name)
        for name in further:
            self._opened[f"/{name}"] = checked.open_dataset(checked.root, name)
        return self._length("/samples/index", "number of samples", "N")

    def _length(self, path: str, name: str, symbol: str) -> int:
        """The declared length of an opened dataset, which has one axis."""
        with self._checked.reading(path):
            shape = self._opened[path].shape
            if len(shape) != 1:
                raise self._checked.fail(path, f"shape {shape}", f"({symbol},)")
            check_cap(name, shape[0], symbol)
        return int(shape[0])

    def _open_layers(self, datasets: Collection[str]) -> Iterator[NamedLayer]:
        """Open the datasets of every layer, not yet checked themselves."""
        checked = self._checked
        layers = checked.group(checked.root, "layers")
        for child in checked.children(layers, MAX_LAYERS):
            path = f"/layers/{child}"
            if (numbered := parse_group(child)) is None:
                raise checked.fail(path, "an unknown path", "a layer such as 001_conv1")
            group = checked.group(layers, child)
            checked.expect_children(group, set(datasets))
            for part in datasets:
                self._opened[f"{path}/{part}"] = checked.open_dataset(group, part)
            yield NamedLayer(numbered[1], numbered[0])

    def _about(
        self,
        attributes: About,
        path: str,
        axes: str,
        expected: Mapping[str, type],
        optional: Mapping[str, type] = {},
    ) -> dict[str, Any]:
        """Read the attributes of opened values; those but `axes`, which are compared."""
        values = self._checked.attributes(self._opened[path], {"axes": str, **expected}, optional)
        attributes[path] = values
        if values["axes"] != axes:
            raise self._checked.fail(f"{path}@axes", "unknown axes", repr(axes))
        return {name: value for name, value in values.items() if name != "axes"}

    def _check(self, dataset: DatasetSpec) -> None:
        """Refuse an opened dataset that is too large to hold at once, or not as the format says."""
        shape = dataset.shape[1:] if dataset.digests else dataset.shape
        size = math.prod(shape) * dataset.dtype.itemsize
        if size > MAX_DATASET_BYTES:
            got = f"{size:,} bytes to hold at once"
            raise self._checked.fail(dataset.path, got, f"at most {MAX_DATASET_BYTES:,}")
        if not dataset.digests:
            self._tables_bytes += size
            if self._tables_bytes > MAX_TABLES_BYTES:
                got = f"tables of {self._tables_bytes:,} bytes or more in all"
                raise self._checked.fail(dataset.path, got, f"at most {MAX_TABLES_BYTES:,}")
        self._checked.check_dataset(self._opened[dataset.path], dataset)

    def rows(self, path: str, sample: int, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """(last - first, …): rows of one sample's values, all if not given, checked as far as these
        rows allow.
        """
        dataset = self._datasets[path]
        last = dataset.shape[1] if last is None else last
        rows = np.empty((last - first, *dataset.shape[2:]), dataset.dtype)
        for start, piece in self._pieces(path, sample, first, last):
            rows[start - first : start - first + len(piece)] = piece
        return rows

    def _pieces(
        self, path: str, sample: int, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """The rows of a sample chunk by chunk, each with its first row; all are compared with its
        digest.
        """
        dataset = self._datasets[path]
        place, (_, rows, *row) = f"{path}[{sample}]", dataset.chunks
        last = dataset.shape[1] if last is None else last
        sha256 = hashlib.sha256()
        for start in range(first - first % rows, last, rows):
            with self._checked.reading(place):
                _, stored = self._opened[path].read_direct_chunk((sample, start, *[0] * len(row)))
            try:
                chunk = decompress(stored, dataset.dtype.itemsize * rows * math.prod(row))
            except ChunkError as error:
                raise self._checked.fail(place, f"damaged: {error}", "an intact chunk") from error
            begin = max(first, start)
            piece = np.frombuffer(chunk, dataset.dtype).reshape(rows, *row)[
                begin - start : last - start
            ]
            self._check_piece(dataset, sample, begin, piece)
            yield begin, piece
            sha256.update(piece.data)
        stored_digest, digest = self._table(dataset.digests)[sample], sha256.hexdigest().encode()
        if last - first == dataset.shape[1] and stored_digest != digest:
            expected = f"{digest.decode()}, the SHA-256 of its {self.VALUES}"
            raise self._checked.fail(
                f"{dataset.digests}[{sample}]", stored_digest.decode("ascii", "replace"), expected
            )

    def _table(self, path: str) -> NDArray[Any]:
        """A whole dataset whose size and type were checked; read once, then kept."""
        if path not in self._tables:
            opened = self._opened[path]
            with self._checked.reading(path):
                array = np.empty(opened.shape, opened.dtype)
                opened.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
            array.setflags(write=False)
            self._tables[path] = array
        return self._tables[path]


class LayerView(ABC, Generic[Value]):
    """A layer of an open file, indexed by the position of a sample or by a slice of positions;
    nothing else is read.
    """

    def __init__(self, reader: Reader[Any], spec: Any, steps: int, dtype: type[Value]) -> None:
        self.spec, self._reader, self._dtype = spec, reader, dtype
        self._shape = (reader.n_samples, steps, *spec.shape)

    @property
    def name(self) -> str:
        """Such as "conv1"."""
        return str(self.spec.name)

    def __repr__(self) -> str:
        """One line: which layer of which file, and how much is in it."""
        samples, steps, *shape = self._shape
        sides = "×".join(map(str, shape))
        size = f"{samples} samples, {steps} steps, {sides}"
        return f"<{self.name} of {self._reader.file_name}: {size}>"

    def __len__(self) -> int:
        """N, the number of samples."""
        return self._shape[0]

    def __iter__(self) -> Iterator[NDArray[Value]]:
        """Every sample, one after the other."""
        return (self._read(sample) for sample in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """(T, N, …) of all samples, for NumPy: the axes of a slice."""
        return self[:].astype(dtype or self._dtype, copy=False)

    @overload
    def __getitem__(self, samples: slice) -> NDArray[Value]: ...
    @overload
    def __getitem__(self, samples: int) -> NDArray[Value]: ...
    def __getitem__(self, samples: Any) -> NDArray[Value]:
        """Read (T, …) of one sample, or (T, B, …) of a slice.

        Raises
        ------
        InputError : if there is no such sample, or `samples` is neither a whole number nor a slice
        """
        if not isinstance(samples, slice):
            with at(self._reader.file_name):
                sample = position(samples, len(self))
            return self._read(sample)
        chosen = range(len(self))[samples]
        _, steps, *shape = self._shape
        values = np.empty((steps, len(chosen), *shape), self._dtype)
        for column, sample in enumerate(chosen):
            values[:, column] = self._read(sample)
        return values

    @abstractmethod
    def _read(self, sample: int) -> NDArray[Value]:
        """One sample, (T, …)."""


def position(sample: Any, n_samples: int) -> int:
    """Refuse a position at which there is no sample; negative ones count from the end."""
    try:
        index = operator.index(sample)
    except TypeError as error:
        raise InputError(f"got sample {sample!r}, expected a whole number or a slice") from error
    if not -n_samples <= index < n_samples:
        raise InputError(f"no sample {index}, expected 0 to {n_samples - 1}")
    return index % n_samples
