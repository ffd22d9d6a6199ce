"""Data of NIR: the library itself reads every spike."""

import h5py
import numpy as np
import pytest

from spikesam.pipeline import export
from tests.recordings.rasters import HEADER, spikes

nir = pytest.importorskip("nir", reason="nir is not installed; pip install 'spikesam[nir]'")


def test_nir_reads_every_spike(raster, tmp_path):
    export.main([str(raster), str(tmp_path / "out.nir")])
    data = nir.read_data(tmp_path / "out.nir")
    assert isinstance(data, nir.NIRGraphData)
    assert list(data.nodes) == ["conv1.neuron", "fc1.neuron", "input"]
    for name, layer in zip(("input", "conv1.neuron", "fc1.neuron"), HEADER.layers, strict=True):
        found = data.nodes[name].observables["spikes"]
        expected = np.stack([spikes(HEADER, layer, at) for at in range(5)])
        assert (found.dt, found.data.dtype) == (0.002, bool)
        assert np.array_equal(found.data, expected.reshape(5, 6, -1))


def test_it_is_laid_out_as_the_library_does(raster, tmp_path):
    """What the library writes of what it read has the same datasets and types."""
    export.main([str(raster), str(tmp_path / "out.nir")])
    nir.write_data(tmp_path / "again.nir", nir.read_data(tmp_path / "out.nir"))
    found: list[dict[str, object]] = []
    for name in ("out.nir", "again.nir"):
        with h5py.File(tmp_path / name) as file:
            content: dict[str, object] = {"/": file.attrs["__type__"]}
            file["nodes"].visititems(
                lambda path, each, content=content: content.update(
                    {path: (each.attrs.get("__type__"), getattr(each, "dtype", None), getattr(each, "shape", None))}
                )
            )
            found.append(content)
    assert found[0] == found[1]


def test_nodes_are_those_of_the_graph(tmp_path, raster):
    spikesam = pytest.importorskip("spikesam")
    from spikesam.pipeline.interop.nir_data import node_name

    network = spikesam.load("cluttered-digits").network
    with spikesam.open_raster(raster) as opened:
        assert [node_name(layer) for layer in opened.layers] == ["input", "conv1.neuron", "fc1.neuron"]
    assert {"input", "conv1.neuron", "fc1.neuron"} <= set(spikesam.to_nir(network).nodes)


def test_some_samples_and_layers(raster, tmp_path):
    export.main([str(raster), str(tmp_path / "out.nir"), "--samples", "2", "--layers", "conv1"])
    data = nir.read_data(tmp_path / "out.nir")
    assert {name: node.observables["spikes"].shape for name, node in data.nodes.items()} == {"conv1.neuron": (2, 6, 60)}
    with h5py.File(tmp_path / "out.nir") as file:
        assert file["samples/index"][:].tolist() == [0, 3]
        assert file["nodes/conv1.neuron/observables/spikes"].attrs["shape"].tolist() == [3, 4, 5]
