"""Zarr: read by zarr itself and by xarray, bit by bit what the raster holds."""

import numpy as np
import pytest

from spikesam.pipeline import export
from spikesam.recordings.maps.reader import MapReader
from tests.recordings.rasters import HEADER, spikes

xr = pytest.importorskip("xarray", reason="xarray is not installed; pip install 'spikesam[zarr]'")
zarr = pytest.importorskip("zarr", reason="zarr is not installed; pip install 'spikesam[zarr]'")

from spikesam.pipeline.interop import _zarr_store as zarr_store  # noqa: E402 - it needs them
from spikesam.pipeline.interop.engine import SpikesamBackend  # noqa: E402


@pytest.mark.parametrize(
    "chunk_bytes", [4 << 20, 700, 100], ids=["one chunk", "chunks of a sample", "chunks of a step"]
)
def test_xarray_reads_what_the_engine_reads(raster, tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(zarr_store, "CHUNK_BYTES", chunk_bytes)
    export.main([str(raster), str(tmp_path / "out.zarr")])
    with (
        xr.open_zarr(tmp_path / "out.zarr") as data,
        xr.open_dataset(raster, engine=SpikesamBackend) as expected,
    ):
        xr.testing.assert_identical(data.load(), expected.load())
        assert data.conv1.dtype == bool


@pytest.mark.filterwarnings("error")
def test_zarr_reads_every_bit(raster, tmp_path):
    export.main([str(raster), str(tmp_path / "out.zarr")])
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    for layer in HEADER.layers:
        expected = np.stack([spikes(HEADER, layer, at) for at in range(5)])
        assert np.array_equal(group[layer.name][:], expected.reshape(group[layer.name].shape))
    assert group["conv1"].metadata.dimension_names == (
        "sample",
        "step",
        "conv1_channel",
        "conv1_row",
        "conv1_column",
    )
    assert group.metadata.zarr_format == 3


def test_some_samples_and_layers(raster, tmp_path):
    export.main(
        [str(raster), str(tmp_path / "out.zarr"), "--samples", "2:4", "--layers", "fc1", "1"]
    )
    with xr.open_zarr(tmp_path / "out.zarr") as data:
        assert set(data) == {"conv1", "conv1_count", "fc1", "fc1_count", "readout"}
        assert data.sample.values.tolist() == [2, 3]
        assert np.array_equal(data.conv1, [spikes(HEADER, HEADER.layers[1], at) for at in (2, 3)])


@pytest.mark.parametrize(
    "chunk_bytes", [4 << 20, 30, 10], ids=["one chunk", "chunks of a sample", "chunks of a row"]
)
def test_maps(maps, tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(zarr_store, "CHUNK_BYTES", chunk_bytes)
    export.main([str(maps), str(tmp_path / "out.zarr")])
    with xr.open_zarr(tmp_path / "out.zarr") as data, MapReader(maps) as reader:
        assert np.array_equal(data.conv1, reader["conv1"].sum)
        assert np.array_equal(data.conv1_steps[1], reader["conv1"][1])
        assert data.attrs["gamma"] == 0.5
        with xr.open_dataset(maps, engine=SpikesamBackend) as expected:
            xr.testing.assert_identical(data.load(), expected.load())


@pytest.mark.parametrize(("samples", "stepped"), [("1:3", [1]), ("1", [0]), ("2:", None)])
def test_some_samples_of_maps(maps, tmp_path, samples, stepped):
    export.main([str(maps), str(tmp_path / "out.zarr"), "--samples", samples, "--layers", "conv1"])
    with xr.open_zarr(tmp_path / "out.zarr") as data, MapReader(maps) as reader:
        assert np.array_equal(data.conv1, reader["conv1"].sum[data.sample.values])
        if stepped is None:
            assert set(data) == {"conv1"} and "step" not in data.coords
        else:
            assert set(data) == {"conv1", "conv1_steps"}
            assert data.stepped.values.tolist() == stepped
            assert np.array_equal(data.conv1_steps[0], reader["conv1"][stepped[0]])


def test_a_store_is_replaced_whole(raster, maps, tmp_path):
    out = tmp_path / "out.zarr"
    export.main([str(raster), str(out)])
    leftover = tmp_path / ".out.zarr.spikesam-0123456789abcdef" / "new"  # of a kill
    leftover.mkdir(parents=True)
    (leftover / "conv1").touch()
    export.main([str(maps), str(out), "--overwrite"])
    with xr.open_zarr(out) as data:
        assert set(data) == {"input", "input_steps", "conv1", "conv1_steps"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "out.zarr", "run"]


def test_a_failure_leaves_what_was_there(raster, maps, tmp_path, monkeypatch, refused):
    out = tmp_path / "out.zarr"
    export.main([str(maps), str(out)])

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr_store, "_create", full)
    line = refused(export.main, raster, out, "--overwrite")
    assert "out.zarr: cannot be written (No space left on device)" in line
    with xr.open_zarr(out) as data:
        assert set(data) == {"input", "input_steps", "conv1", "conv1_steps"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "out.zarr", "run"]


def test_folders_that_are_no_store_are_kept(raster, tmp_path, refused):
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "thesis.txt").touch()
    line = refused(export.main, raster, tmp_path / "out.zarr", "--overwrite")
    assert "is no folder with zarr.json, expected one that such an export wrote" in line
    assert (tmp_path / "out.zarr" / "thesis.txt").exists()
