"""A raster as data of NIR, which `nir.read_data` and `from_nir_data` read: the spikes of the nodes
of a graph.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from spikesam.common.disk import writing
from spikesam.pipeline.imports.nir import nir_library
from spikesam.pipeline.interop.exporter import Advance, Exporter, Selection
from spikesam.recordings.new_hdf5 import new_hdf5
from spikesam.recordings.raster.schema import LayerSpec

nir = nir_library()
FILE_BYTES = 20_000
LAYER_BYTES = 10_000
RATIO = 1.6  # of the size to that of the raster: gzip finds less where a spike is a byte


class NirData(Exporter):
    """One array of bool per node of `to_nir`'s graphs, (sample, step, neuron), as `nir.write_data`,
    but in pieces.
    """

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        self.size = FILE_BYTES + int(RATIO * selection.recording.size * selection.fraction)
        layers = len(selection.names)
        self.most = FILE_BYTES + LAYER_BYTES * layers + 2 * selection.packed
        self.steps = layers * len(selection.samples)

    def write(self, path: Path, advance: Advance, overwrite: bool) -> None:
        """Write sample by sample."""
        raster, samples = self.selection.recording, self.selection.samples
        with writing(path), new_hdf5(path, overwrite=overwrite) as (file, target):
            graph_attributes = {
                "raster_digest": raster.raster_digest,
                "layer_delay": raster.header.layer_delay,
            }
            file.attrs.update({"__type__": nir.NIRGraphData.__name__, **graph_attributes})
            rows = slice(samples.start, samples.stop)
            tables = {
                "index": raster.samples.index,
                "label": raster.labels,
                "prediction": raster.predictions,
            }
            for name, values in tables.items():  # which nir does not read
                file[f"samples/{name}"] = values[rows]
            for layer in self.selection.layers:
                spikes = self._node(file, layer)
                for row, sample in enumerate(samples):
                    spikes[row] = raster[layer][sample].reshape(raster.timesteps, -1)
                    target.check()
                    advance()

    def _node(self, file: h5py.File, layer: LayerSpec) -> h5py.Dataset:
        """The array of a layer, not yet filled."""
        node = file.create_group(f"nodes/{node_name(layer)}")
        node.attrs["__type__"] = nir.NIRNodeData.__name__
        spikes = node.create_group("observables/spikes")
        header = self.selection.recording.header
        node_attributes = {"dt": header.dt, "shape": layer.shape, "number": layer.number}
        spikes.attrs.update({"__type__": nir.TimeGriddedData.__name__, **node_attributes})
        shape = (len(self.selection.samples), header.timesteps, layer.neurons)
        steps = max(1, min(header.timesteps, (1 << 20) // layer.neurons))
        chunks = (1, steps, layer.neurons)
        return spikes.create_dataset(
            "data", shape, np.bool_, chunks=chunks, compression="gzip", compression_opts=4
        )


def node_name(layer: LayerSpec) -> str:
    """The name of a layer's node in the graph of NIR."""
    return "input" if layer.number == 0 else f"{layer.name}.neuron"
