"""Reading a raster file: checked when opened, sliced lazily by layer, sample and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.digests import pad_bits_clear, raster_digest, spike_counts
from spikesam.recordings.hdf5 import Source
from spikesam.recordings.layer_view import LayerView, position
from spikesam.recordings.raster.batch import unpack
from spikesam.recordings.raster.schema import (
    FORMAT,
    GRAPH_ATTRIBUTES,
    LAYER_ATTRIBUTES,
    LAYER_DATASETS,
    LAYER_TABLES,
    READOUT_ATTRIBUTES,
    READOUT_DATASETS,
    ROOT_ATTRIBUTES,
    ROOT_PATHS,
    SCHEMA_VERSION,
    SPIKE_AXES,
    WINDOW_ATTRIBUTES,
    LayerSpec,
    RasterHeader,
)
from spikesam.recordings.reader import PLOTS, Reader
from spikesam.recordings.schema import check_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHAT = "a raster file (raster.h5) that a run has finished"


class RasterReader(Reader[LayerSpec]):
    """One finished raster, on disk or in memory, treated as untrusted; a context manager.

    Opening checks the whole structure, and that everything but the spikes is as it was written. Spikes are checked as
    they are read: their checksum, that pad bits are zero and that counts agree, and for a whole sample its digest;
    :meth:`verify` does so for everything.

    Parameters
    ----------
    source : name of the file, or its content in memory
    trusted : whether this process wrote it; anything else is opened in a process of its own first, see
        :mod:`spikesam.recordings.inspection`

    Attributes
    ----------
    header : RasterHeader
    run_uuid : str — the same for every file of one run
    samples : SampleTable — index and label
    predictions : (N,) int32 — argmax of the readout, ties to the lowest index; -1 where unknown
    readout : (N, K) int32 in fixed point, float32 otherwise; raw sums over all steps; K = 0 where it is unknown

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation
    """

    header: RasterHeader
    _noun, _what, _format, _version = "raster", WHAT, FORMAT, SCHEMA_VERSION
    _content = "spikes"

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

    def plot(self, layer: str | int | None = None, sample: int = 0) -> Figure:
        """Draw the spikes of a layer, the last one if none is named, in one sample.

        Returns
        -------
        a :class:`matplotlib.figure.Figure`, which a notebook shows
        """
        figure: Figure = import_module(PLOTS).plot_raster(self, layer, sample)
        return figure

    def steps_that_matter(self, layer: str | int | LayerSpec) -> int:
        """How many of the first steps of a layer can still change the answer, see :mod:`spikesam.recordings.layers`."""
        return self.header.steps_that_matter(self.layer(layer))

    def counts(self, layer: str | int | LayerSpec) -> NDArray[np.uint32]:
        """(N, T) uint32 number of spikes."""
        return self._table(f"/layers/{self.layer(layer).group}/count")

    def digests(self, layer: str | int | LayerSpec) -> NDArray[np.bytes_]:
        """(N,) S64 hexadecimal SHA-256 of each sample's packed bytes."""
        return self._table(f"/layers/{self.layer(layer).group}/digest")

    def packed(self, layer: str | int | LayerSpec, sample: int) -> NDArray[np.uint8]:
        """(T, bytes) uint8: all steps of one sample, with digest, counts and pad bits verified."""
        return self._steps(self.layer(layer), position(sample, self.n_samples, self.where), 0, self.timesteps)

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
        predicted = self.readout.argmax(axis=1) if self.header.classes else self.predictions
        if (wrong := np.flatnonzero(predicted != self.predictions)).size:
            first = wrong[0]
            raise self._checked.fail(
                f"/samples/prediction[{first}]",
                str(self.predictions[first]),
                f"{predicted[first]}, the readout's argmax",
            )
        for layer in self.layers:
            for sample in range(self.n_samples):
                for _ in self._pieces(layer, sample, 0, self.timesteps):
                    pass
                advance()
        _ = self.raster_digest

    def _steps(self, layer: LayerSpec, sample: int, first: int, last: int) -> NDArray[np.uint8]:
        """(last - first, bytes) uint8 of one sample, verified as far as these steps allow."""
        packed = np.empty((last - first, layer.step_bytes), np.uint8)
        for step, piece in self._pieces(layer, sample, first, last):
            packed[step - first : step - first + len(piece)] = piece
        return packed

    def _pieces(self, layer: LayerSpec, sample: int, first: int, last: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The steps of :meth:`_steps` chunk by chunk, each with its first step, compared with their counts."""
        group, sizes = f"/layers/{layer.group}", self.header.sizes(self.n_samples, layer)
        where, spec = f"{group}/spikes", LAYER_DATASETS["spikes"]
        for start, piece in self._rows(where, f"{group}/digest", sample, spec, sizes, first, last):
            if not pad_bits_clear(piece, layer.neurons):
                raise self._checked.fail(f"{where}[{sample}]", "pad bits that are set", "zero behind the last neuron")
            found, counts = spike_counts(piece), self.counts(layer)[sample, start : start + len(piece)]
            if (wrong := np.flatnonzero(found != counts)).size:
                step = int(wrong[0])
                raise self._checked.fail(
                    f"{group}/count[{sample}, {start + step}]",
                    str(counts[step]),
                    f"{found[step]}, the number of spikes",
                )
            yield start, piece

    def _open(self) -> None:
        checked = self._checked
        self._attributes = checked.attributes(checked.root, "/", ROOT_ATTRIBUTES, WINDOW_ATTRIBUTES)
        self.run_uuid: str = self._attributes["run_uuid"]
        with checked.valid("/@T"):
            check_size("timesteps", self._attributes["T"], "T")
        classes = self._attributes["K"]
        checked.expect_children(checked.root, "/", ROOT_PATHS if classes else ROOT_PATHS - {"readout"})
        n_samples, about = self._open_samples(), {"/": self._attributes}
        if classes:
            self._datasets["/readout"] = checked.open_dataset(checked.root, "readout", "/readout")
            about["/readout"] = checked.attributes(self._datasets["/readout"], "/readout", READOUT_ATTRIBUTES)
        self.header = self._read_header(about)
        readout = READOUT_DATASETS[self.header.precision]
        if classes:
            self._check("/readout", readout, self.header.sizes(n_samples))
        for layer in self.header.layers:
            for name, spec in LAYER_DATASETS.items():
                self._check(f"/layers/{layer.group}/{name}", spec, self.header.sizes(n_samples, layer))
        self._read_samples(n_samples)
        self.readout: NDArray[Any] = self._table("/readout") if classes else np.empty((n_samples, 0), readout.dtype)
        of_layers = (f"/layers/{layer.group}/{name}" for layer in self.layers for name in LAYER_TABLES)
        self._check_content(about, [*(["/readout"] if classes else []), *of_layers])

    def _read_header(self, about: dict[str, dict[str, Any]]) -> RasterHeader:
        """The header, from the attributes of the file and of its readout; those of the layers are added to them."""
        checked, attributes = self._checked, self._attributes
        specs = []
        for name, number, group in self._open_layers(LAYER_DATASETS):
            where = f"{group}/spikes"
            about[where] = values = checked.attributes(self._datasets[where], where, LAYER_ATTRIBUTES, GRAPH_ATTRIBUTES)
            if values["axes"] != SPIKE_AXES:
                raise checked.fail(f"{where}@axes", "unknown axes", repr(SPIKE_AXES))
            with checked.valid(where):
                specs.append(LayerSpec(name, number, **{field: values[field] for field in values if field != "axes"}))
        if not specs:
            raise checked.fail("/layers", "empty", "at least one layer")
        fields = ("backend", "device", "precision", "dt", "seed", "network_sha256", "dataset", "config", "layer_delay")
        with checked.valid("/"):
            return RasterHeader(
                **{field: attributes[field] for field in fields},
                timesteps=attributes["T"],
                window=attributes.get("window"),
                layers=tuple(specs),
                classes=attributes["K"],
                readout_scale=about["/readout"]["scale"] if attributes["K"] else 1.0,
            )


class RecordedLayer(LayerView[np.bool_]):
    """One layer of an open raster, made by `raster["conv1"]`.

    `[i]` reads (T, C, H, W) bool of sample i, `[a:b]` reads (T, B, C, H, W) bool. The length is N.

    Attributes
    ----------
    spec : LayerSpec — name, number, kind, threshold and leak
    """

    def __init__(self, raster: RasterReader, spec: LayerSpec) -> None:
        super().__init__(raster.where, (raster.n_samples, raster.timesteps, *spec.shape), np.bool_)
        self._raster, self.spec = raster, spec

    @property
    def name(self) -> str:
        """Such as "conv1"."""
        return self.spec.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W); dense layers (C, 1, 1)."""
        return self.spec.shape

    @property
    def counts(self) -> NDArray[np.uint32]:
        """(N, T) uint32 number of spikes."""
        return self._raster.counts(self.spec)

    @property
    def steps_that_matter(self) -> int:
        """How many of the first steps can still change the answer."""
        return self._raster.steps_that_matter(self.spec)

    def _read(self, sample: int) -> NDArray[np.bool_]:
        return unpack(self._raster.packed(self.spec, sample)[None], self.spec.shape)[:, 0]


def open_raster(source: Source) -> RasterReader:
    """Read a raster file, whatever wrote it: checked when opened, its spikes as they are read.

    Parameters
    ----------
    source : name of the file, or its content in memory

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> path = spikesam.write_raster("c.h5", {"conv1": np.eye(4).reshape(1, 4, 4, 1, 1)}, overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     print(list(raster), raster["conv1"][0].shape, raster["conv1"].counts.tolist())
    ['conv1'] (4, 4, 1, 1) [[1, 1, 1, 1]]
    """
    return RasterReader(source)
