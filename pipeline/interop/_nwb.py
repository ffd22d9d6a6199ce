"""A raster as an NWB file: one unit per neuron that fires, one trial per sample."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.disk import writing
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.interop.exporter import Advance, Exporter, Selection, not_installed
from spikesam.recordings.new_hdf5 import new_hdf5
from spikesam.recordings.raster.schema import LayerSpec

try:
    from hdmf.common import DynamicTable, ElementIdentifiers, VectorData, VectorIndex
    from hdmf.data_utils import AbstractDataChunkIterator, DataChunk
    from pynwb import NWBHDF5IO, H5DataIO, NWBFile
    from pynwb.epoch import TimeIntervals
    from pynwb.misc import Units
except ImportError:
    raise not_installed("pynwb", "nwb") from None

MOST_SPIKE_BYTES = 9.0
UNIT_BYTES, MOST_UNIT_BYTES = 45, 120
FILE_BYTES = 300_000  # the schema of NWB, which every file holds, and the other tables
PIECE = 1 << 18  # spike times that are written at a time
BLOCK_BYTES = 64 << 20  # of packed spikes in memory at a time
UNPACKED_BYTES = 16 << 20
HEADER = (
    "backend",
    "device",
    "precision",
    "dt",
    "seed",
    "network_sha256",
    "dataset",
    "layer_delay",
)


class Nwb(Exporter):
    """Spike times in seconds, in the middle of their step; compressed by gzip."""

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        self._raster = selection.recording
        self._layers = [SpikeTimes(selection, layer) for layer in selection.layers]
        rows = slice(selection.samples.start, selection.samples.stop)
        spikes = [
            int(self._raster.counts(layer)[rows].sum(dtype=np.int64)) for layer in selection.layers
        ]
        units = sum(
            min(count, nwb_layer.layer.neurons)
            for count, nwb_layer in zip(spikes, self._layers, strict=True)
        )
        # What gzip makes of the eight bytes of a time depends on how many different times there
        # are: measured from 0.9 bytes for 128 of them to 3.2 for 20,000.
        packed = max(0.9, 0.32 * math.log2(len(selection.samples) * self._raster.timesteps) - 1.4)
        self.size = FILE_BYTES + int(packed * sum(spikes) + UNIT_BYTES * units)
        self.most = 2 * FILE_BYTES + int(MOST_SPIKE_BYTES * sum(spikes) + MOST_UNIT_BYTES * units)
        self.steps = sum(layer.reads for layer in self._layers)

    def write(self, path: Path, advance: Advance, overwrite: bool) -> None:
        """Count the spikes of every neuron, then write them neuron by neuron."""
        with writing(path), new_hdf5(path, overwrite=overwrite) as (file, target):
            counts = [layer.counts(advance) for layer in self._layers]

            def checked() -> None:
                target.check()
                advance()

            steps = (
                layer.steps(count, checked)
                for layer, count in zip(self._layers, counts, strict=True)
            )
            with NWBHDF5IO(file=file, mode="w") as io:
                io.write(self._file(counts, chain.from_iterable(steps)))

    def _file(self, counts: list[NDArray[np.int64]], steps: Iterator[NDArray[np.int64]]) -> NWBFile:
        header, where = self._raster.header, self._raster.path
        seconds = where.stat().st_mtime if where else 0
        chosen = f"{self._raster.raster_digest} {self.selection.samples} {self.selection.names}"
        metadata = {name: getattr(header, name) for name in HEADER}
        metadata |= {
            "T": header.timesteps,
            "run_uuid": self._raster.run_uuid,
            "raster_digest": self._raster.raster_digest,
        }
        made_by = printable(header.backend, LONGEST_NAME)
        file = NWBFile(
            session_description=(
                f"spikes of a spiking neural network, simulated or recorded by {made_by}"
            ),
            identifier=str(uuid.uuid5(uuid.NAMESPACE_OID, chosen)),
            session_start_time=datetime.fromtimestamp(seconds, UTC),
            notes=json.dumps(metadata),
            source_script=header.config,
            source_script_file_name="the resolved configuration of the run, JSON",
            trials=self._trials(),
            units=_units(self._layers, counts, steps, header.dt),
        )
        module = file.create_processing_module("network", "the network whose neurons are the units")
        module.add(self._layer_table())
        return file

    def _trials(self) -> TimeIntervals:
        raster, samples = self._raster, self.selection.samples
        rows = slice(samples.start, samples.stop)
        duration = np.arange(len(samples) + 1) * raster.timesteps * raster.header.dt
        columns = {
            "start_time": ("first step of the sample, in seconds", duration[:-1]),
            "stop_time": ("end of its last step, in seconds", duration[1:]),
            "index": ("position in the data set", raster.samples.index[rows]),
            "label": ("class, -1 where unknown", raster.labels[rows]),
            "prediction": (
                "class that the network chose, -1 where unknown",
                raster.predictions[rows],
            ),
        }
        if raster.header.classes:
            scale = raster.header.readout_scale
            columns["readout"] = (
                f"raw sums of each class over all steps; one unit is {scale}",
                raster.readout[rows],
            )
        description = "one trial per sample; between samples the network starts anew"
        return _table(TimeIntervals, "trials", description, np.asarray(samples), columns)

    def _layer_table(self) -> DynamicTable:
        layers = [nwb_layer.layer for nwb_layer in self._layers]
        columns = {
            "layer": ("name of the layer, as in units", [layer.name for layer in layers]),
            "kind": ("input, conv or dense", [layer.kind for layer in layers]),
            "channels": ("number of channels", [layer.shape[0] for layer in layers]),
            "height": ("rows", [layer.shape[1] for layer in layers]),
            "width": ("columns", [layer.shape[2] for layer in layers]),
            "threshold": ("of its neurons; 0 where unknown", [layer.threshold for layer in layers]),
            "leak": ("of its neurons, per step; 0 where unknown", [layer.leak for layer in layers]),
            "steps_that_matter": (
                "how many first steps of each sample can change the answer",
                [self._raster.steps_that_matter(layer) for layer in layers],
            ),
        }
        description = "the layers of the network in order of depth; id is the depth, 0 the input"
        return _table(
            DynamicTable, "layers", description, [layer.number for layer in layers], columns
        )


def _table(
    kind: type[Any], name: str, description: str, ids: Any, columns: Mapping[str, tuple[str, Any]]
) -> Any:
    """A table of NWB, of columns by name: what each says, and its values."""
    vectors = [
        VectorData(name=column, description=text, data=data)
        for column, (text, data) in columns.items()
    ]
    numbers = ElementIdentifiers(name="id", data=ids)
    return kind(
        name=name, description=description, id=numbers, columns=vectors, colnames=list(columns)
    )


def _units(
    layers: list[SpikeTimes],
    counts: list[NDArray[np.int64]],
    steps: Iterator[NDArray[np.int64]],
    dt: float,
) -> Units:
    firing = [np.flatnonzero(count) for count in counts]
    places = [
        np.unravel_index(firing_neurons, layer.layer.shape)
        for firing_neurons, layer in zip(firing, layers, strict=True)
    ]
    ends = np.cumsum(
        np.concatenate(
            [count[firing_neurons] for count, firing_neurons in zip(counts, firing, strict=True)]
        ),
        dtype=np.uint64,
    )
    total = int(ends[-1]) if len(ends) else 0
    times = VectorData(
        name="spike_times",
        description="the middle of the step in which the neuron fires, in seconds",
        data=_compressed(_Times(steps, total, dt)) if total else np.empty(0),
    )
    index = VectorIndex(name="spike_times_index", data=_compressed(ends), target=times)
    names = [
        nwb_layer.layer.name
        for nwb_layer, firing_neurons in zip(layers, firing, strict=True)
        for _ in range(len(firing_neurons))
    ]
    description = "name of the layer of the neuron"
    columns = [
        index,
        times,
        VectorData(name="layer", description=description, data=np.array(names, str)),
    ]
    for axis, name in enumerate(("channel", "row", "column")):
        place = np.concatenate([layer_places[axis] for layer_places in places]).astype(np.uint32)
        columns.append(
            VectorData(
                name=name, description=f"{name} of the neuron in its layer", data=_compressed(place)
            )
        )
    return Units(
        name="units",
        description="every neuron that fires at least once, by layer, channel, row and column",
        id=ElementIdentifiers(name="id", data=_compressed(np.arange(len(ends)))),
        columns=columns,
        colnames=["spike_times", "layer", "channel", "row", "column"],
        resolution=dt,
    )


def _compressed(data: Any) -> Any:
    """Without shuffling: few different times occur, and gzip finds all eight bytes of one as a
    repetition.
    """
    if isinstance(data, np.ndarray) and not len(data):
        return data
    return H5DataIO(data, compression="gzip", compression_opts=4)


class _Times(AbstractDataChunkIterator):
    """Spike times in pieces, so that they need not be in memory all at once."""

    def __init__(self, steps: Iterator[NDArray[np.int64]], total: int, dt: float) -> None:
        self._steps, self._total, self._dt, self._written = steps, total, dt, 0

    def __iter__(self) -> _Times:
        return self

    def __next__(self) -> Any:
        pieces: list[NDArray[np.int64]] = []
        count = 0
        while count < PIECE and (piece := next(self._steps, None)) is not None:
            pieces.append(piece)
            count += len(piece)
        if not pieces:
            raise StopIteration
        times = (np.concatenate(pieces) + 0.5) * self._dt
        self._written += count
        return DataChunk(times, np.s_[self._written - count : self._written])

    def recommended_chunk_shape(self) -> tuple[int]:
        return (min(self._total, 1 << 16),)

    def recommended_data_shape(self) -> tuple[int]:
        return (self._total,)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64)

    @property
    def maxshape(self) -> tuple[int]:
        return (self._total,)


class SpikeTimes:
    """The spikes of a layer by neuron, then step; step t of the p-th chosen sample is step p·T +
    t.
    """

    def __init__(self, selection: Selection, layer: LayerSpec) -> None:
        self.layer = layer
        self._raster, self._samples = selection.recording, selection.samples
        steps = len(self._samples) * self._raster.timesteps
        self._width = min(
            layer.step_bytes, max(1, BLOCK_BYTES // steps)
        )  # bytes of a step in memory at a time
        self._starts = range(0, layer.step_bytes, self._width)

    @property
    def reads(self) -> int:
        """The number of samples read in all, some several times."""
        return len(self._samples) * (1 + len(self._starts))

    def counts(self, advance: Callable[[], object]) -> NDArray[np.int64]:
        """(C·H·W,) number of spikes of every neuron; calls `advance` after each sample."""
        counts = np.zeros(self.layer.neurons, np.int64)
        rows = max(1, UNPACKED_BYTES // self.layer.neurons)
        for sample in self._samples:
            packed = self._raster.packed(self.layer, sample)
            for start in range(0, len(packed), rows):
                bits = np.unpackbits(
                    packed[start : start + rows], axis=-1, count=self.layer.neurons
                )
                counts += bits.sum(axis=0, dtype=np.int64)
            advance()
        return counts

    def steps(
        self, counts: NDArray[np.int64], advance: Callable[[], object]
    ) -> Iterator[NDArray[np.int64]]:
        """The steps of all spikes of one neuron after the other, for each that fires; `advance`
        after each sample.
        """
        timesteps = self._raster.timesteps
        for start in self._starts:
            width = min(self._width, self.layer.step_bytes - start)
            block = np.empty(
                (width, len(self._samples) * timesteps), np.uint8
            )  # by byte, then by step
            for row, sample in enumerate(self._samples):
                packed = self._raster.packed(self.layer, sample)[:, start : start + width]
                block[:, row * timesteps : (row + 1) * timesteps] = packed.T
                advance()
            firing = np.flatnonzero(counts[8 * start : 8 * (start + width)])
            for neuron in firing.tolist():
                yield np.flatnonzero(block[neuron // 8] & (0x80 >> neuron % 8))
