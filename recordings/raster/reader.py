"""Reading a raster file: checked when opened, sliced lazily by layer, sample and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recordings.compress import ChunkError, decode
from recordings.digests import pad_bits_clear, raster_digest, sample_digest, spike_counts
from recordings.hdf5 import CheckedFile
from recordings.layers import find_layer, parse_group
from recordings.schema import MAX_DATASET_BYTES, MAX_LAYERS, SAMPLE_DATASETS, DatasetSpec, SampleTable, check_size
from recordings.view import position

from .batch import unpack
from .layer import RecordedLayer
from .schema import (
    FORMAT,
    LAYER_ATTRIBUTES,
    LAYER_DATASETS,
    READOUT_ATTRIBUTES,
    READOUT_DATASETS,
    ROOT_ATTRIBUTES,
    ROOT_PATHS,
    SCHEMA_VERSION,
    SPIKE_AXES,
    LayerSpec,
    RasterHeader,
)

WHAT = "a raster file (raster.h5) that a run has finished"


class RasterReader:
    """One finished raster file, treated as untrusted; a context manager.

    Opening checks the whole structure, no spikes. Spikes are checked as they are read: their checksum, that pad bits
    are zero and that counts agree, and for a whole sample its digest; :meth:`verify` does so for everything.

    Parameters
    ----------
    path : the file

    Attributes
    ----------
    header : RasterHeader
    run_uuid : str — the same for every file of one run
    samples : SampleTable
    predictions : (N,) int32 — argmax of the readout, ties to the lowest index
    readout : (N, classes) int32 in fixed point, float32 otherwise; raw sums over all steps

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation
    """

    def __init__(self, path: Path) -> None:
        self._checked = CheckedFile(path, WHAT)
        self.path = self._checked.path
        self._datasets: dict[str, h5py.h5d.DatasetID] = {}
        self._tables: dict[str, NDArray[Any]] = {}
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RasterReader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._checked.file.close()

    @property
    def n_samples(self) -> int:
        """N."""
        return len(self.samples)

    @property
    def timesteps(self) -> int:
        """T."""
        return self.header.timesteps

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """Every recorded layer in order of depth, the input first where it has spikes."""
        return self.header.layers

    @cached_property
    def raster_digest(self) -> str:
        """Identity of all spikes, computed from the sample digests and compared with what the file says."""
        found = self._attributes["raster_digest"]
        with self._checked.reading("/@raster_digest"):
            digest = raster_digest(self.digests(layer) for layer in self.layers)
        if found != digest:
            raise self._checked.fail("/@raster_digest", found[:80], f"{digest}, as the sample digests give")
        return digest

    def __getitem__(self, layer: str | int | LayerSpec) -> RecordedLayer:
        """One layer, by its name or number: `raster["conv1"][0]` is (T, C, H, W) bool of sample 0."""
        return RecordedLayer(self, self.layer(layer))

    def __iter__(self) -> Iterator[str]:
        """The names of the layers, in order of depth."""
        return iter([layer.name for layer in self.layers])

    def layer(self, layer: str | int | LayerSpec) -> LayerSpec:
        """Find a layer by its name ("conv1") or number (1)."""
        known = {spec.name: spec for spec in self.layers}
        wanted = layer.name if isinstance(layer, LayerSpec) else layer
        return known[find_layer(wanted, {name: spec.number for name, spec in known.items()}, self.path)]

    def steps_that_matter(self, layer: str | int | LayerSpec) -> int:
        """How many of the first steps of a layer can still change the answer, see :mod:`recordings.layers`."""
        return self.header.steps_that_matter(self.layer(layer))

    def counts(self, layer: str | int | LayerSpec) -> NDArray[np.uint32]:
        """(N, T) uint32 number of spikes."""
        return self._table(f"/layers/{self.layer(layer).group}/count")

    def digests(self, layer: str | int | LayerSpec) -> NDArray[np.bytes_]:
        """(N,) S64 hexadecimal SHA-256 of each sample's packed bytes."""
        return self._table(f"/layers/{self.layer(layer).group}/digest")

    def packed(self, layer: str | int | LayerSpec, sample: int) -> NDArray[np.uint8]:
        """(T, bytes) uint8: all steps of one sample, with digest, counts and pad bits verified."""
        return self._steps(self.layer(layer), position(sample, self.n_samples, self.path), 0, self.timesteps)

    def spikes(
        self, layer: str | int | LayerSpec, samples: slice = slice(None), steps: slice = slice(None)
    ) -> NDArray[np.bool_]:
        """(T', B', C, H, W) bool: the chosen samples and steps, reading little more than those."""
        spec = self.layer(layer)
        chosen = range(self.n_samples)[samples]
        times = range(self.timesteps)[steps]
        packed = np.empty((len(chosen), len(times), spec.step_bytes), np.uint8)
        if chosen and times:
            first, last = min(times), max(times)
            for row, sample in enumerate(chosen):
                packed[row] = self._steps(spec, sample, first, last + 1)[np.asarray(times) - first]
        return unpack(packed, spec.shape)

    def verify(self, advance: Callable[[], object] = lambda: None) -> None:
        """Check every bit and everything derived from it; calls `advance` after each layer of each sample."""
        predicted = self.readout.argmax(axis=1)
        if (wrong := np.flatnonzero(predicted != self.predictions)).size:
            first = wrong[0]
            raise self._checked.fail(
                f"/samples/prediction[{first}]",
                str(self.predictions[first]),
                f"{predicted[first]}, the readout's argmax",
            )
        for layer in self.layers:
            for sample in range(self.n_samples):
                self._steps(layer, sample, 0, self.timesteps)
                advance()
        _ = self.raster_digest

    def stored_chunks(self, layer: LayerSpec, sample: int) -> list[bytes]:
        """The stored bytes of one sample's chunks, in order of time, neither decoded nor checked."""
        where = f"/layers/{layer.group}/spikes"
        starts = range(0, self.timesteps, self._chunk_steps(layer))
        return [self._chunk(where, sample, start) for start in starts]

    def _chunk(self, where: str, sample: int, start: int) -> bytes:
        with self._checked.reading(f"{where}[{sample}]"):
            _, stored = self._datasets[where].read_direct_chunk((sample, start, 0))
            return bytes(stored)

    def _chunk_steps(self, layer: LayerSpec) -> int:
        return LAYER_DATASETS["spikes"].chunks(self.header.sizes(self.n_samples, layer))[1]

    def _steps(self, layer: LayerSpec, sample: int, first: int, last: int) -> NDArray[np.uint8]:
        """(last - first, bytes) uint8 of one sample, verified as far as these steps allow."""
        where = f"/layers/{layer.group}/spikes"
        chunk_steps = self._chunk_steps(layer)
        start = first - first % chunk_steps
        size = chunk_steps * layer.step_bytes
        try:
            chunks = [decode(self._chunk(where, sample, step), size) for step in range(start, last, chunk_steps)]
        except ChunkError as error:
            raise self._checked.fail(f"{where}[{sample}]", f"damaged: {error}", "an intact chunk") from error
        packed = np.frombuffer(b"".join(chunks), np.uint8).reshape(-1, layer.step_bytes)[first - start : last - start]
        if not pad_bits_clear(packed, layer.neurons):
            raise self._checked.fail(f"{where}[{sample}]", "pad bits that are set", "zero behind the last neuron")
        counts = self.counts(layer)[sample, first:last]
        if (wrong := np.flatnonzero(spike_counts(packed) != counts)).size:
            step = int(wrong[0])
            raise self._checked.fail(
                f"/layers/{layer.group}/count[{sample}, {first + step}]",
                str(counts[step]),
                f"{spike_counts(packed[step])}, the number of spikes",
            )
        if (first, last) == (0, self.timesteps):
            found, digest = self.digests(layer)[sample], sample_digest(packed)
            if found != digest:
                raise self._checked.fail(
                    f"/layers/{layer.group}/digest[{sample}]",
                    found.decode("ascii", "replace"),
                    f"{digest.decode()}, the SHA-256 of its spikes",
                )
        return packed

    def _open(self) -> None:
        checked = self._checked
        checked.expect_finished(FORMAT, SCHEMA_VERSION)
        self._attributes = checked.attributes(checked.root, "/", ROOT_ATTRIBUTES)
        self.run_uuid: str = self._attributes["run_uuid"]
        checked.expect_children(checked.root, "/", ROOT_PATHS)
        with checked.valid("/@T"):
            check_size("timesteps", self._attributes["T"], "T")
        tables, n_samples = checked.open_samples()
        self._datasets.update(tables)
        readout = checked.open_dataset(checked.root, "readout", "/readout")
        scale = checked.attributes(readout, "/readout", READOUT_ATTRIBUTES)["scale"]
        with checked.reading("/readout"):
            shape = readout.shape
        if len(shape) != 2:
            raise checked.fail("/readout", f"shape {shape}", f"({n_samples}, classes)")
        self.header = self._read_header(shape[1], scale)
        sizes = self.header.sizes(n_samples)
        self._check("/readout", readout, READOUT_DATASETS[self.header.precision], sizes)
        for name, spec in SAMPLE_DATASETS.items():
            self._check(f"/samples/{name}", self._datasets[f"/samples/{name}"], spec, sizes)
        for layer in self.header.layers:
            for name, spec in LAYER_DATASETS.items():
                where = f"/layers/{layer.group}/{name}"
                self._check(where, self._datasets[where], spec, self.header.sizes(n_samples, layer))
        self.samples = SampleTable(self._table("/samples/index"), self._table("/samples/label"))
        self.predictions: NDArray[np.int32] = self._table("/samples/prediction")
        self.readout: NDArray[Any] = self._table("/readout")

    def _read_header(self, classes: int, scale: float) -> RasterHeader:
        checked, attributes = self._checked, self._attributes
        layers = checked.group(checked.root, "layers", "/layers")
        specs = []
        for name in checked.children(layers, "/layers", MAX_LAYERS):
            where = f"/layers/{name}"
            if (numbered := parse_group(name)) is None:
                raise checked.fail(where, "an unknown path", "a layer such as 001_conv1")
            group = checked.group(layers, name, where)
            checked.expect_children(group, where, set(LAYER_DATASETS))
            for part in LAYER_DATASETS:
                self._datasets[f"{where}/{part}"] = checked.open_dataset(group, part, f"{where}/{part}")
            values = checked.attributes(self._datasets[f"{where}/spikes"], f"{where}/spikes", LAYER_ATTRIBUTES)
            if values.pop("axes") != SPIKE_AXES:
                raise checked.fail(f"{where}/spikes@axes", "unknown axes", repr(SPIKE_AXES))
            with checked.valid(f"{where}/spikes"):
                specs.append(LayerSpec(numbered[1], numbered[0], **values))
        if not specs:
            raise checked.fail("/layers", "empty", "at least one layer")
        fields = ("backend", "device", "precision", "dt", "seed", "network_sha256", "dataset", "config", "layer_delay")
        with checked.valid("/"):
            return RasterHeader(
                **{field: attributes[field] for field in fields},
                timesteps=attributes["T"],
                layers=tuple(specs),
                classes=classes,
                readout_scale=scale,
            )

    def _check(self, where: str, dataset: h5py.h5d.DatasetID, spec: DatasetSpec, sizes: dict[str, int]) -> None:
        shape = spec.shape(sizes)
        size = int(np.prod(shape[1:] if spec.deflate else shape, dtype=np.int64)) * spec.dtype.itemsize
        if size > MAX_DATASET_BYTES:
            raise self._checked.fail(where, f"{size:,} bytes to hold at once", f"at most {MAX_DATASET_BYTES:,}")
        self._checked.check_dataset(dataset, where, spec, sizes)
        self._datasets[where] = dataset

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
