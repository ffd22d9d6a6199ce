"""Rasters and maps in memory: the bytes of a file, with every check."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, MapLayer
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.raster.batch import joined
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import encode_samples, raster_image
from tests.recordings.rasters import HEADER, batch, record, samples

UNKNOWN = replace(HEADER, classes=0, readout_scale=1.0, network_sha256="")
MAPS = MapHeader("grad-cam", "cd" * 32, {}, 2, (MapLayer("conv1", 1, (2, 3), 1),), (0, 1), 1, "network_sha256")


def recorded(count: int) -> bytes:
    records = encode_samples(HEADER, batch(HEADER, range(count)), range(count))
    return raster_image(HEADER, samples(count), "a run", list(records))


@pytest.mark.parametrize("wrap", [bytes, io.BytesIO])
def test_a_raster_in_memory_is_the_raster_on_disk(tmp_path: Path, wrap: type) -> None:
    with RasterReader(record(tmp_path, 20)) as on_disk, RasterReader(wrap(recorded(20))) as in_memory:
        in_memory.verify()
        assert in_memory.raster_digest == on_disk.raster_digest
        assert in_memory.header == on_disk.header
        assert np.array_equal(in_memory.readout, on_disk.readout)
        assert np.array_equal(in_memory.predictions, on_disk.predictions)
        assert np.array_equal(in_memory.samples.label, on_disk.samples.label)
        assert (in_memory.path, in_memory.where) == (None, "raster in memory")
        assert on_disk.where == str(on_disk.path)
        with pytest.raises(InputError, match="^raster in memory: no layer 'conv3'; did you mean conv1"):
            in_memory["conv3"]
        with pytest.raises(InputError, match="^raster in memory: no sample 20, expected 0 to 19"):
            in_memory["conv1"][20]


def test_content_in_memory_is_a_file_when_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "raster.h5").write_bytes(recorded(3))
    with RasterReader(tmp_path / "raster.h5") as raster:
        raster.verify()
        assert raster.size == (tmp_path / "raster.h5").stat().st_size


def test_what_is_unknown_of_a_network_stays_unknown(tmp_path: Path) -> None:
    with RasterReader(record(tmp_path, 20, UNKNOWN)) as raster:
        raster.verify()
        assert raster.header == UNKNOWN
        assert raster.readout.shape == (20, 0)
        assert raster.predictions.tolist() == [-1] * 20


def test_predictions_without_a_readout_are_kept() -> None:
    parts = [replace(batch(UNKNOWN, range(at, at + 2)), predictions=np.array([at, -1], np.int32)) for at in (0, 2)]
    records = encode_samples(UNKNOWN, joined(parts), range(4))
    with RasterReader(raster_image(UNKNOWN, samples(4), "a run", list(records))) as raster:
        raster.verify()
        assert raster.predictions.tolist() == [0, -1, 2, -1]


def test_maps_in_memory() -> None:
    memory = io.BytesIO(b"something longer than what was there before" * 1000)
    expected = np.random.default_rng(0).random((2, 2, 2, 3), np.float32)
    with writing_maps(memory, MAPS, samples(2)) as maps:
        for sample in range(2):
            made = {"conv1": expected[sample, 0]}, {"conv1": expected[sample]}
            maps.add(sample, [make_map_record(MAPS, sample, -1, *made)])
    for source in (memory, memory.getvalue()):
        with MapReader(source) as maps:
            assert maps.header == MAPS
            assert maps.predictions.tolist() == [-1, -1]
            np.testing.assert_array_equal(maps["conv1"][0], expected[0])
            np.testing.assert_array_equal(maps["conv1"].sum, expected[:, 0])
            with pytest.raises(InputError, match="^maps in memory: no layer 'conv2'; did you mean conv1"):
                maps["conv2"]


def test_several_files_may_be_written_in_memory_at_once() -> None:
    memory = io.BytesIO()
    with writing_maps(memory, MAPS, samples(1)) as maps:
        made = {"conv1": np.ones((2, 3), np.float32)}, {"conv1": np.ones((2, 2, 3), np.float32)}
        maps.add(0, [make_map_record(MAPS, 0, 2, *made)])
        raster = recorded(3)
    with MapReader(memory) as maps, RasterReader(raster) as one, RasterReader(recorded(2)) as other:
        assert (maps.predictions.tolist(), one.n_samples, other.n_samples) == ([2], 3, 2)


def test_maps_that_fail_leave_the_memory_as_it_was() -> None:
    memory = io.BytesIO(b"before")
    with (
        pytest.raises(ValueError, match="0 samples were written, expected 2"),
        writing_maps(memory, MAPS, samples(2)),
    ):
        pass
    assert memory.getvalue() == b"before"
    with pytest.raises(InputError, match="^maps in memory: cannot be read as HDF5"):
        MapReader(memory)
