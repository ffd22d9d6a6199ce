"""The engine of xarray: every bit, lazily, with names; and nothing else's files."""

import io
import pickle
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikesam.recordings.errors import RasterError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings.maps import SUMS_ALONE, write
from tests.recordings.rasters import GOLDEN, HEADER, readout, samples, spikes

xr = pytest.importorskip("xarray", reason="xarray is not installed; pip install 'spikesam[xarray]'")

from spikesam.pipeline.interop.engine import SpikesamBackend  # noqa: E402 - it needs xarray


def opened(source, **options):
    return xr.open_dataset(source, engine=SpikesamBackend, **options)


def expected(layer_number: int, position: int):
    return spikes(HEADER, HEADER.layers[layer_number], position)


def test_names_dimensions_and_every_bit(raster):
    with opened(raster) as data:
        assert list(data) == [
            "input",
            "input_count",
            "conv1",
            "conv1_count",
            "fc1",
            "fc1_count",
            "readout",
        ]
        assert data.conv1.dims == ("sample", "step", "conv1_channel", "conv1_row", "conv1_column")
        assert data.fc1.dims == ("sample", "step", "fc1_channel")
        assert (data.conv1.dtype, data.conv1.shape) == (bool, (5, 6, 3, 4, 5))
        assert np.array_equal(data.input, [expected(0, at) for at in range(5)])
        assert np.array_equal(data.conv1, [expected(1, at) for at in range(5)])
        assert np.array_equal(data.fc1, [expected(2, at)[..., 0, 0] for at in range(5)])
        assert np.array_equal(data.conv1_count, data.conv1.sum(data.conv1.dims[2:]))
        assert np.array_equal(data.readout, [readout(HEADER, at) for at in range(5)])


def test_coordinates_and_attributes(raster):
    with opened(raster) as data:
        assert set(data.coords) == {"sample", "index", "label", "prediction", "step", "seconds"}
        assert data.sample.values.tolist() == [0, 1, 2, 3, 4]
        assert data.index.values.tolist() == [0, 3, 6, 9, 12]
        assert np.array_equal(data.label, samples(5).label)
        assert np.array_equal(data.prediction, data.readout.argmax("class"))
        assert np.allclose(data.seconds, [0, 0.002, 0.004, 0.006, 0.008, 0.01])
        assert data.seconds.attrs["units"] == "s"
        assert (data.attrs["backend"], data.attrs["dt"], data.attrs["layer_delay"]) == (
            "torch",
            0.002,
            1,
        )
        assert data.attrs["raster_digest"] == RasterReader(raster).raster_digest
        assert data.input.attrs["steps_that_matter"] == 4  # 2 layers below the last of 6 steps
        assert data.readout.attrs["scale"] == 0.5


KEYS = [
    *[
        (0,),
        (-1, -1),
        (slice(1, 4), slice(2, 5)),
        (slice(None, None, -2), slice(None, None, -1)),
        (slice(2, 2),),
    ],
    *[
        ([3, 0, 3], [5, 2], slice(None), [1, 0], 2),
        (2, slice(None), 1, slice(1, 3), [4]),
        (slice(None), []),
        ([], 3),
    ],
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_slices_are_those_of_the_whole(raster, key):
    with opened(raster) as data, opened(raster) as again:
        whole = again.conv1.load()
        assert np.array_equal(data.conv1[key].values, whole[key].values)
        assert data.conv1[key].shape == whole[key].shape


def test_opening_reads_no_spikes_and_a_slice_reads_its_sample(raster, monkeypatch):
    asked = []
    rows = RasterReader.rows
    monkeypatch.setattr(
        RasterReader, "rows", lambda self, *which: asked.append(which) or rows(self, *which)
    )
    with opened(raster) as data:
        part = data.conv1.isel(sample=[3, 1], step=slice(2, 4))
        repr(part)
        assert not asked
        part.load()
    assert sorted(asked) == [("/layers/001_conv1/spikes", sample, 2, 4) for sample in (1, 3)]


@pytest.mark.parametrize("chunks", [{}, "auto", {"sample": 2, "step": 6}], ids=str)
def test_dask(raster, maps, chunks):
    pytest.importorskip("dask", reason="dask is not installed; pip install 'spikesam[xarray]'")
    with opened(raster, chunks=chunks) as data:
        assert data.conv1.chunks is not None
        if chunks == {}:
            assert data.conv1.chunks[:2] == ((1, 1, 1, 1, 1), (6,))
        assert np.array_equal(data.conv1, [expected(1, at) for at in range(5)])
    with opened(maps, chunks=chunks) as data, MapReader(maps) as reader:
        assert np.array_equal(data.conv1, reader["conv1"].sum)
        assert np.array_equal(data.conv1_steps[0], reader["conv1"][0])


def test_a_copy_in_another_process_opens_the_file_itself(raster):
    with opened(raster) as data:
        content = pickle.dumps(data)
    with pickle.loads(content) as copy:
        assert np.array_equal(copy.conv1[1].values, expected(1, 1))


def test_a_file_that_was_replaced_is_refused(raster, tmp_path):
    with opened(raster) as data:
        content = pickle.dumps(data)
    write_raster(raster, {"conv1": np.zeros((5, 6, 3, 4, 5))}, overwrite=True)
    with pytest.raises(
        RasterError,
        match=r"raster.h5: was replaced by another file since it was opened; open it agai",
    ):
        pickle.loads(content).conv1.load()


def test_a_file_in_memory(raster):
    for source in (raster.read_bytes(), io.BytesIO(raster.read_bytes())):
        with opened(source) as data:
            assert np.array_equal(data.conv1[4], expected(1, 4))


def test_variables_can_be_left_out(raster):
    with opened(raster, drop_variables=["input", "readout", "unknown"]) as data:
        assert list(data) == ["input_count", "conv1", "conv1_count", "fc1", "fc1_count"]
    with opened(raster, drop_variables="fc1") as data:
        assert "fc1" not in data


def test_layers_that_are_called_like_coordinates(tmp_path):
    layers = {name: np.ones((1, 2, 3)) for name in ("step", "a", "a_count", "a_channel", "readout")}
    with opened(write_raster(tmp_path / "raster.h5", layers)) as data:
        found = {array.attrs["layer"]: name for name, array in data.items() if array.dtype == bool}
        taken = ("step", "a_count", "a_channel", "readout")
        assert found == {"a": "a", **{name: f"{name}_" for name in taken}}
        assert int(data.to_array("all").sum()) > 0  # no two dimensions share a name with a variable
        assert all(data[name].dims[0] == "sample" for name in found.values())


def test_maps(maps):
    with opened(maps) as data, MapReader(maps) as reader:
        assert list(data) == ["input", "input_steps", "conv1", "conv1_steps"]
        assert data.conv1.dims == ("sample", "conv1_row", "conv1_column")
        assert np.array_equal(data.conv1, reader["conv1"].sum)
        assert np.array_equal(data.conv1[[2, 0], 1, ::2], reader["conv1"].sum[[2, 0], 1, ::2])
        assert data.conv1_steps.dims == ("stepped", "step", "conv1_row", "conv1_column")
        assert data.step.values.tolist() == [0, 2, 5] and data.stepped.values.tolist() == [0, 1]
        assert np.array_equal(data.conv1_steps[1:, 1:], [reader["conv1"][1][1:]])
        assert np.array_equal(data.conv1_steps.sel(stepped=1, step=5), reader["conv1"][1][2])
        kernel = {"gamma": 0.5, "variant": "paper", "include_current": 1}
        assert data.attrs == {"method": "sam", "timesteps": 6, "raster_digest": "cd" * 32, **kernel}
        assert data.index.values.tolist() == [9, 4, 7]
        assert data.prediction.values.tolist() == [0, 1, 1]


def test_sums_alone(tmp_path):
    with (
        opened(write(tmp_path / "sam.h5", SUMS_ALONE)) as data,
        MapReader(tmp_path / "sam.h5") as reader,
    ):
        assert list(data) == ["input", "conv1"]
        assert set(data.coords) == {"sample", "index", "label", "prediction"}
        assert np.array_equal(data.conv1, reader["conv1"].sum)


def test_damaged_spikes_are_one_clear_error_when_they_are_read(tmp_path):
    path = tmp_path / "raster.h5"
    path.write_bytes(GOLDEN.read_bytes())
    with h5py.File(path, "r+") as file:
        file["layers/001_conv1/spikes"][1, 2, 0] ^= 0x80
    with opened(path) as data:
        with pytest.raises(RasterError, match=r"/layers/001_conv1/count\[1, 2\]"):
            data.conv1.load()
        assert data.input.sum() > 0


def test_only_our_files_are_claimed(raster, maps, tmp_path):
    backend = SpikesamBackend()
    assert backend.guess_can_open(raster)
    assert backend.guess_can_open(str(maps))
    foreign = {"foreign.h5": {}, "other.h5": {"format": "other"}, "number.h5": {"format": 3}}
    for name, attributes in foreign.items():
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs.update(attributes)
    (tmp_path / "text.h5").write_text("format: spike-raster")
    (tmp_path / "truncated.h5").write_bytes(raster.read_bytes()[:100])
    (tmp_path / "raster.nc").write_bytes(raster.read_bytes())
    for name in (*foreign, "text.h5", "truncated.h5", "raster.nc", "missing.h5", ""):
        assert not backend.guess_can_open(tmp_path / name), name
    assert not backend.guess_can_open(raster.read_bytes())
    with pytest.raises(
        RasterError, match=r"foreign.h5: /@format: missing, expected an attribute of type str"
    ):
        opened(tmp_path / "foreign.h5")


def test_the_engine_is_found_by_its_name(raster):
    installed = [
        entry for entry in entry_points(group="xarray.backends") if entry.name == "spikesam"
    ]
    if not installed:
        pytest.skip(
            "spikesam was installed before it had an entry point for xarray; run `make setup`"
        )
    assert installed[0].load() is SpikesamBackend
    with xr.open_dataset(raster, engine="spikesam") as data:
        assert data.sizes["sample"] == 5


def test_the_entry_point_is_declared_and_light():
    declared = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text()
    assert 'spikesam = "spikesam.pipeline.interop.engine:SpikesamBackend"' in declared
    script = (
        "import sys, xarray; before = set(sys.modules); import spikesam.pipeline.interop.engine\n"
        "print(sorted(name for name in set(sys.modules) - before if name.partition('.')[0] "
        "not in ('spikesam', 'lazy_loader')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
