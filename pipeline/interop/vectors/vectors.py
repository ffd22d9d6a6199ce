"""A raster and its network as golden vectors, in a folder of their own."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.backend import EventBackend
from spikesam.common.disk import readable, replacing_folder, write_file, writing
from spikesam.common.errors import InputError, at
from spikesam.pipeline.interop.exporter import Advance, Exporter, Selection
from spikesam.pipeline.interop.vectors._header import header_lines
from spikesam.pipeline.interop.vectors._numbers import numbers_of
from spikesam.pipeline.networks.recorded import recorded_network
from spikesam.recordings.raster.batch import unpack

ARRAYS, HEADER, COPIED = "vectors.npz", "vectors.h", ("README.md", "check.c")
NUMBER_BYTES = 5  # of a number in the header
MOST_BYTES = 64 << 20  # of a header, which a compiler still takes


class GoldenVectors(Exporter):
    """Integers and spikes as NPZ and as a header of C, with a program that checks them.

    The spikes are those of the raster. The network fires them once more while they are written, by
    the event backend, and the first bit that differs is an error.
    """

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        raster = selection.recording
        if len(selection.names) < len(list(raster)):
            raise InputError(
                "golden vectors are of all layers, expected no selection", argument="layers"
            )
        self.network = recorded_network(raster)
        with at(raster.file_name):
            self.numbers = numbers_of(self.network)
        weights = sum(array.size for array in self.numbers.arrays.values())
        spikes = sum(
            raster.timesteps * -(-layer.neurons // 8) * len(selection.samples)
            for layer in raster.layers
        )
        self.size = self.most = NUMBER_BYTES * (weights + spikes)
        if self.size > MOST_BYTES:
            raise InputError(
                f"{raster.file_name}: the header of C would have {readable(self.size)}, expected "
                f"at most {readable(MOST_BYTES)}; take fewer {{samples}}, or a smaller network"
            )
        self.steps = len(selection.samples)

    def write(self, path: Path, advance: Advance, overwrite: bool) -> None:
        """See :class:`Exporter`."""
        raster, samples = self.selection.recording, self.selection.samples
        packed: dict[str, Any] = {layer.name: [] for layer in raster.layers}
        for sample in samples:
            for layer, spikes in self._checked(sample):
                packed[layer].append(spikes)
            advance()
        packed = {layer: np.array(spikes) for layer, spikes in packed.items()}
        sums = np.asarray(raster.readout[samples.start : samples.stop], np.int32)
        bits = {
            f"{layer.name}/spikes": np.moveaxis(
                unpack(packed[layer.name], layer.shape).view(np.uint8), 0, 1
            )
            for layer in raster.layers
        }
        graph = json.dumps(
            {
                **self.numbers.graph,
                "network_sha256": self.network.sha256,
                "raster_digest": raster.raster_digest,
                "samples": raster.samples.index[samples.start : samples.stop].tolist(),
            },
            indent=1,
        )
        arrays = {**self.numbers.arrays, **bits, "readout/sums": sums, "graph": np.array(graph)}
        np.savez_compressed(buffer := io.BytesIO(), allow_pickle=False, **arrays)
        with writing(path), replacing_folder(path, overwrite) as temporary:
            write_file(temporary / ARRAYS, buffer.getbuffer())
            header = "".join(header_lines(self.numbers, packed, sums))
            write_file(temporary / HEADER, header.encode())
            for name in COPIED:
                write_file(temporary / name, files(__package__).joinpath(name).read_bytes())

    def _checked(self, sample: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """The packed spikes (T, bytes) of a sample by layer; refuses what the network does not
        fire.
        """
        raster = self.selection.recording
        recorded = {layer.name: raster.packed(layer, sample) for layer in raster.layers}
        (fired,) = EventBackend().rerun(self.network, [{"input": recorded["input"]}], 1)
        for layer in raster.layers:
            differing = np.argwhere(recorded[layer.name] != fired.spikes[layer.name][0])
            if len(differing):
                raise InputError(
                    f"{raster.file_name}: layer {layer.name!r}, sample {sample}, step "
                    f"{differing[0, 0]}: its spikes are not those that the network fires"
                )
            yield layer.name, recorded[layer.name]
        if not np.array_equal(raster.readout[sample], fired.readout[0]):
            raise InputError(
                f"{raster.file_name}: sample {sample}: its readout is not that of the network"
            )
