"""What the readers of rasters and of maps share: opening and closing, finding layers, tables."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.compress import ChunkError, decode
from spikesam.recordings.digests import content_digest
from spikesam.recordings.hdf5 import CheckedFile, Source
from spikesam.recordings.layers import NamedLayer, find_layer, parse_group
from spikesam.recordings.schema import (
    MAX_DATASET_BYTES,
    MAX_LAYERS,
    MAX_TABLES_BYTES,
    SAMPLE_DATASETS,
    DatasetSpec,
    SampleTable,
    check_size,
)

if TYPE_CHECKING:
    from typing import Self  # Python 3.10 lacks it


PLOTS = (
    "spikesam.pipeline.maps.plot"  # what draws, by name: it knows readers, and they need no plotting library to be read
)

Layer = TypeVar("Layer", bound=NamedLayer)


class Reader(ABC, Generic[Layer]):
    """One finished file, treated as untrusted; a context manager. Opening checks its whole structure.

    Parameters
    ----------
    source : name of the file, or its content in memory
    trusted : whether this process wrote it; anything else is opened in a process of its own first, see
        :mod:`spikesam.recordings.inspection`
    """

    header: Any
    samples: SampleTable
    predictions: NDArray[np.int32]
    _noun: str  # what the file holds, and longer, for messages
    _what: str
    _format: str  # what it must say it is
    _version: int
    _content: str  # what the chunks of a sample hold
    _tables_bytes = 0

    def __init__(self, source: Source, *, trusted: bool = False) -> None:
        opener = None if trusted else f"{type(self).__module__}:{type(self).__qualname__}"
        self._checked = CheckedFile(source, self._noun, self._what, opener)
        self._datasets: dict[str, h5py.h5d.DatasetID] = {}
        self._tables: dict[str, NDArray[Any]] = {}
        try:
            self._checked.expect_finished(self._format, self._version)
            self._open()
        except BaseException:
            self.close()
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process, such as a worker of a DataLoader, which opens and checks the file anew."""
        return type(self), (self._checked.source,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._checked.file.close()

    def __repr__(self) -> str:
        """One line: what it is, and what is in it."""
        count = f"{self.n_samples} sample{'s' * (self.n_samples > 1)}"
        return f"<{self.where}: {count}, {self.timesteps} steps, layers {', '.join(self)}>"

    @property
    def path(self) -> Path | None:
        """Where the file lies; None if it is in memory."""
        return self._checked.path

    @property
    def where(self) -> str:
        """What messages call the file: its path, or that it is in memory."""
        return self._checked.where

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
        """The layers that were recorded or that have maps, in order of depth, the input first if it is one of them."""
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
        """Find a layer by its name ("conv1") or number (1); an InputError names the nearest if there is none."""
        asked = layer if isinstance(layer, str | int) else getattr(layer, "name", repr(layer))
        if (found := self._by_name.get(asked)) is not None:
            return found
        return self._by_name[find_layer(asked, {spec.name: spec.number for spec in self.layers}, self.where)]

    @cached_property
    def _by_name(self) -> dict[str | int, Layer]:
        return {spec.name: spec for spec in self.layers}

    @abstractmethod
    def _open(self) -> None:
        """Check and read everything but spikes or maps."""

    def _open_samples(self) -> int:
        """Open the tables of samples, not yet checked themselves; returns how many samples they declare."""
        checked = self._checked
        group = checked.group(checked.root, "samples", "/samples")
        checked.expect_children(group, "/samples", set(SAMPLE_DATASETS))
        for name in SAMPLE_DATASETS:
            self._datasets[f"/samples/{name}"] = checked.open_dataset(group, name, f"/samples/{name}")
        return self._length("/samples/index", "number of samples", "N")

    def _length(self, where: str, name: str, symbol: str) -> int:
        """How long an opened dataset declares to be, which has one axis."""
        with self._checked.reading(where):
            shape = self._datasets[where].shape
        if len(shape) != 1:
            raise self._checked.fail(where, f"shape {shape}", f"({symbol},)")
        with self._checked.valid(where):
            check_size(name, shape[0], symbol)
        return int(shape[0])

    def _open_layers(self, datasets: Collection[str]) -> Iterator[tuple[str, int, str]]:
        """Open the datasets of every layer, not yet checked themselves; yields its name, its number and its path."""
        checked = self._checked
        layers = checked.group(checked.root, "layers", "/layers")
        for child in checked.children(layers, "/layers", MAX_LAYERS):
            where = f"/layers/{child}"
            if (numbered := parse_group(child)) is None:
                raise checked.fail(where, "an unknown path", "a layer such as 001_conv1")
            group = checked.group(layers, child, where)
            checked.expect_children(group, where, set(datasets))
            for part in datasets:
                self._datasets[f"{where}/{part}"] = checked.open_dataset(group, part, f"{where}/{part}")
            yield numbered[1], numbered[0], where

    def _read_samples(self, n_samples: int) -> None:
        """Check and read the tables of samples, after every other dataset was checked."""
        for name, spec in SAMPLE_DATASETS.items():
            self._check(f"/samples/{name}", spec, {"N": n_samples})
        self._checked.refuse_overlaps()
        self.samples = SampleTable(self._table("/samples/index"), self._table("/samples/label"))
        self.predictions = self._table("/samples/prediction")

    def _check(self, where: str, spec: DatasetSpec, sizes: dict[str, int]) -> None:
        """Refuse an opened dataset that is too large to hold at once, or not as the format says."""
        shape = spec.shape(sizes)
        size = int(np.prod(shape[1:] if spec.deflate else shape, dtype=np.int64)) * spec.dtype.itemsize
        if size > MAX_DATASET_BYTES:
            raise self._checked.fail(where, f"{size:,} bytes to hold at once", f"at most {MAX_DATASET_BYTES:,}")
        if not spec.deflate:
            self._tables_bytes += size
            if self._tables_bytes > MAX_TABLES_BYTES:
                found = f"tables of {self._tables_bytes:,} bytes or more in all"
                raise self._checked.fail(where, found, f"at most {MAX_TABLES_BYTES:,}")
        self._checked.check_dataset(self._datasets[where], where, spec, sizes)

    def _check_content(self, attributes: dict[str, dict[str, Any]], tables: Collection[str]) -> None:
        """Compare the content digest with what was read: attributes, tables of samples, then `tables`, by path."""
        paths = (*(f"/samples/{name}" for name in SAMPLE_DATASETS), *tables)
        digest = content_digest(attributes, map(self._table, paths))
        if (found := attributes["/"]["content_digest"]) != digest:
            raise self._checked.fail(
                "/@content_digest",
                repr(found[:64]),
                f"{digest}; its texts, tables or attributes were changed after it was written",
            )

    def _rows(
        self, path: str, digests: str, sample: int, spec: DatasetSpec, sizes: dict[str, int], first: int, last: int
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Rows `first` to `last` - 1 of one sample, chunk by chunk, each with its first row; so no more need be held.

        When all rows were read, they are compared with the sample's digest.
        """
        where, (_, rows, *row) = f"{path}[{sample}]", spec.chunks(sizes)
        sha256 = hashlib.sha256()
        for start in range(first - first % rows, last, rows):
            with self._checked.reading(where):
                _, stored = self._datasets[path].read_direct_chunk((sample, start, *[0] * len(row)))
            try:
                chunk = decode(stored, spec.dtype.itemsize * rows * math.prod(row))
            except ChunkError as error:
                raise self._checked.fail(where, f"damaged: {error}", "an intact chunk") from error
            begin = max(first, start)
            piece = np.frombuffer(chunk, spec.dtype).reshape(rows, *row)[begin - start : last - start]
            yield begin, piece
            sha256.update(piece.data)
        found, digest = self._table(digests)[sample], sha256.hexdigest().encode()
        if last - first == spec.shape(sizes)[1] and found != digest:
            expected = f"{digest.decode()}, the SHA-256 of its {self._content}"
            raise self._checked.fail(f"{digests}[{sample}]", found.decode("ascii", "replace"), expected)

    def _table(self, where: str) -> NDArray[Any]:
        """A whole dataset whose size and type were checked; read once, then kept."""
        if where not in self._tables:
            dataset = self._datasets[where]
            with self._checked.reading(where):
                array = np.empty(dataset.shape, dataset.dtype)
                dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
            array.setflags(write=False)
            self._tables[where] = array
        return self._tables[where]
