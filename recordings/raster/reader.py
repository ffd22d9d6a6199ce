"""Reading a raster file: checked when opened, sliced lazily by layer, sample and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.common.parsing import parse_json
from spikesam.common.pictures import draw
from spikesam.common.text import shorten
from spikesam.recordings.digests import About, pad_bits_clear, raster_digest, spike_counts
from spikesam.recordings.files import RASTER, raster_file
from spikesam.recordings.hdf5 import FileSource
from spikesam.recordings.raster.batch import CountedSpikes, unpack
from spikesam.recordings.raster.schema import (
    FIELDS,
    GRAPH_ATTRIBUTES,
    LAYER_DATASETS,
    LAYER_FIELDS,
    OPTIONAL_ATTRIBUTES,
    PRECISIONS,
    READOUT_ATTRIBUTES,
    ROOT_ATTRIBUTES,
    SPIKE_AXES,
    LayerSpec,
    RasterHeader,
)
from spikesam.recordings.reader import LayerView, Reader, position
from spikesam.recordings.schema import MADE_OF, PREDICTION, DatasetSpec, check_cap

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RasterReader(Reader[LayerSpec]):
    """One finished raster, on disk or in memory, treated as untrusted; a context manager.

    Opening checks the whole structure, and that everything but the spikes is as it was written.
    Spikes are checked as they are read: their checksum, that pad bits are zero and that counts
    agree, and for a whole sample its digest;
    :meth:`verify` does so for everything.

    Parameters
    ----------
    source : name of the file, or its content in memory
    trusted : whether this process wrote it; anything else is opened in a process of its own first,
        see :mod:`spikesam.recordings.inspection`

    Attributes
    ----------
    header : RasterHeader
    run_uuid : str — the same for every file of one run
    samples : SampleTable — index and label
    predictions : (N,) int32 — argmax of the readout, ties to the lowest index; -1 where all of it
        is 0, or unknown, or its outputs are numbers and no classes, as `header.outputs` says
    readout : (N, K) int32 in fixed point, float32 otherwise; raw sums over all steps; K = 0 where
        it is unknown

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation
    """

    HEADER, NOUN, VALUES, IN_FOLDER = RasterHeader, "raster", "spikes", RASTER
    WHAT = "a raster file (raster.h5) that a run has finished"
    header: RasterHeader
    readout: NDArray[Any]

    @cached_property
    def raster_digest(self) -> str:
        """Identity of all spikes, computed from the sample digests and compared with what the file
        says.
        """
        stored: str = self._root["raster_digest"]
        with self._checked.reading("/@raster_digest"):
            digest = raster_digest(self.digests(layer) for layer in self.layers)
        if stored != digest:
            raise self._checked.fail(
                "/@raster_digest", stored[:80], f"{digest}, as the sample digests give"
            )
        return digest

    def __getitem__(self, layer: str | int | LayerSpec) -> RecordedLayer:
        """One layer, by its name or number: `raster["conv1"][0]` is (T, C, H, W) bool of sample
        0.
        """
        return RecordedLayer(self, self.layer(layer))

    @checked_arguments
    def plot(self, layer: str | int | None = None, sample: int = 0) -> Figure:
        """Draw the spikes of a layer, the last one if none is named, in one sample.

        Returns
        -------
        a :class:`matplotlib.figure.Figure`, which a notebook shows
        """
        figure: Figure = draw("plot_raster", self, layer, sample)
        return figure

    def steps_that_matter(self, layer: str | int | LayerSpec) -> int:
        """The number of first steps of a layer that can still change the answer."""
        return self.header.steps_that_matter(self.layer(layer))

    def counts(self, layer: str | int | LayerSpec) -> NDArray[np.uint32]:
        """(N, T) uint32 number of spikes."""
        return self._table(self.layer(layer).path("count"))

    def rate(self, layer: str | int | LayerSpec) -> float:
        """Spikes per neuron and step of the model, of all samples."""
        steps = self.header.window or self.timesteps
        return int(self.counts(layer).sum(dtype=int)) / (
            self.n_samples * steps * self.layer(layer).neurons
        )

    def digests(self, layer: str | int | LayerSpec) -> NDArray[np.bytes_]:
        """(N,) S64 hexadecimal SHA-256 of each sample's packed bytes."""
        return self._table(self.layer(layer).path("digest"))

    def packed(self, layer: str | int | LayerSpec, sample: int) -> NDArray[np.uint8]:
        """(T, bytes) uint8: all steps of one sample, with digest, counts and pad bits verified."""
        spec = self.layer(layer)
        with at(self.file_name):
            row = position(sample, self.n_samples)
        return self.rows(spec.path("spikes"), row)

    @checked_arguments
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
                packed[row] = self.rows(spec.path("spikes"), sample, first, last + 1)[
                    np.asarray(times) - first
                ]
        return unpack(packed, spec.shape)

    def remade(self, image: bytes) -> RasterReader:
        """A raster that was made of this one, in memory; its name and what lies beside it are those
        of this one.
        """
        raster = RasterReader(image, trusted=True)
        raster._checked.path, raster._checked.file_name = self.path, self.file_name
        raster.beside = self.beside
        return raster

    @property
    def known_as(self) -> frozenset[str]:
        """The digests by which files beside it may know it: of its spikes, and of those that it was
        made of.
        """
        with at("config"):
            config = parse_json(self.header.config)
        made_of = config.get(MADE_OF) if isinstance(config, dict) else None
        return frozenset({self.raster_digest, str(made_of or self.raster_digest)})

    @cached_property
    def silence(self) -> str:
        """A line about layers in which nothing fires in any sample; "" if there are none."""
        silent = [layer.name for layer in self.layers if not self.counts(layer).any()]
        all_of_them = len(silent) == len(self.layers)
        return (
            f"nothing fires in {'any layer' if all_of_them else shorten(silent)}" if silent else ""
        )

    @cached_property
    def counted(self) -> CountedSpikes | None:
        """The answers as counts of spikes; None where they are something else, or unknown."""
        header, last = self.header, self.layers[-1]
        fired = int(self.counts(last).sum(dtype=np.int64))
        steps = header.window or header.timesteps
        sums = self.readout * header.readout_scale
        return CountedSpikes.of(sums, fired, last.neurons, steps) if header.has_classes else None

    def verify(self, advance: Callable[[], object] = lambda: None) -> None:
        """Check every bit and everything derived from it; calls `advance` after each layer of each
        sample.
        """
        stored = self._table(PREDICTION)
        predicted = self.readout.argmax(axis=1) if self.header.classes else stored
        if (wrong := np.flatnonzero((predicted != stored) & (self.predictions != stored))).size:
            first = wrong[0]
            path, got = f"/samples/prediction[{first}]", str(stored[first])
            raise self._checked.fail(path, got, f"{predicted[first]}, the readout's argmax")
        super().verify(advance)
        _ = self.raster_digest

    def _check_piece(
        self, dataset: DatasetSpec, sample: int, first: int, rows: NDArray[Any]
    ) -> None:
        """Refuse steps with pad bits, or of other counts."""
        place, group = f"{dataset.path}[{sample}]", dataset.path.rpartition("/")[0]
        if not pad_bits_clear(rows, self._neurons[dataset.path]):
            raise self._checked.fail(place, "pad bits that are set", "zero behind the last neuron")
        counted_again, counts = (
            spike_counts(rows),
            self._table(f"{group}/count")[sample, first : first + len(rows)],
        )
        if (wrong := np.flatnonzero(counted_again != counts)).size:
            step = int(wrong[0])
            counted = f"{counted_again[step]}, the number of spikes"
            raise self._checked.fail(
                f"{group}/count[{sample}, {first + step}]", str(counts[step]), counted
            )

    @cached_property
    def _neurons(self) -> dict[str, int]:
        return {layer.path("spikes"): layer.neurons for layer in self.layers}

    def _read_header(self, attributes: About) -> RasterHeader:
        checked = self._checked
        self._root = attributes["/"] = root = checked.attributes(
            checked.root, ROOT_ATTRIBUTES, OPTIONAL_ATTRIBUTES
        )
        self.run_uuid: str = root["run_uuid"]
        with checked.reading("/@T"):
            check_cap("timesteps", root["T"], "T")
        self._open_root(["readout"] if root["K"] else [])
        if root["K"]:
            attributes["/readout"] = checked.attributes(
                self._opened["/readout"], READOUT_ATTRIBUTES
            )
        specs = []
        for layer in self._open_layers(LAYER_DATASETS):
            path = layer.path("spikes")
            values = self._about(attributes, path, SPIKE_AXES, LAYER_FIELDS, GRAPH_ATTRIBUTES)
            with checked.reading(path):
                specs.append(LayerSpec(layer.name, layer.number, **values))
        if not specs:
            raise checked.fail("/layers", "empty", "at least one layer")
        with checked.reading("/"):
            return RasterHeader(
                **{field: root[name] for name, (_, field) in FIELDS.items()},
                window=root.get("window"),
                outputs=root.get("outputs", "classes"),
                layers=tuple(specs),
                readout_scale=attributes["/readout"]["scale"] if root["K"] else 1.0,
            )

    def _open(self) -> None:
        super()._open()
        unknown = np.empty((self.n_samples, 0), PRECISIONS[self.header.precision])
        self.readout = self._table("/readout") if self.header.classes else unknown
        if self.header.classes:  # earlier versions called silence an answer
            self.predictions = self.header.predictions(self.readout)


class RecordedLayer(LayerView[np.bool_]):
    """One layer of an open raster, made by `raster["conv1"]`.

    `[i]` reads (T, C, H, W) bool of sample i, `[a:b]` reads (T, B, C, H, W) bool. The length is N.

    Attributes
    ----------
    spec : LayerSpec — name, number, kind, threshold and leak
    """

    def __init__(self, raster: RasterReader, spec: LayerSpec) -> None:
        super().__init__(raster, spec, raster.timesteps, np.bool_)
        self._raster = raster

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
        """The number of first steps that can still change the answer."""
        return self._raster.steps_that_matter(self.spec)

    def _read(self, sample: int) -> NDArray[np.bool_]:
        return unpack(self._raster.packed(self.spec, sample)[None], self.spec.shape)[:, 0]


def open_raster(source: FileSource) -> RasterReader:
    """Read a raster file, whatever wrote it: checked when opened, its spikes as they are read.

    Parameters
    ----------
    source : name of the file or of the folder of a run, or the content of the file in memory

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> path = spikesam.write_raster("c.h5", {"conv1": np.eye(4).reshape(1, 4, 4, 1, 1)},
    ... overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     print(list(raster), raster["conv1"][0].shape, raster["conv1"].counts.tolist())
    ['conv1'] (4, 4, 1, 1) [[1, 1, 1, 1]]
    """
    return RasterReader(source)


@contextmanager
def opened_raster(raster: Any) -> Iterator[RasterReader]:
    """An open raster as it is, or that of a file or a run's folder, closed at the end."""
    if isinstance(raster, RasterReader):
        yield raster
        return
    if not isinstance(raster, (str, PathLike)):
        raise InputError(
            f"got {type(raster).__name__}, expected a raster, its file, or the folder of a run",
            argument="raster",
        )
    with RasterReader(
        raster_file(Path(raster), "the folder of a run that keeps spikes, or a raster file")
    ) as reader:
        yield reader
