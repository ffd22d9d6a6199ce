"""What is copied of a file whose bytes are those that were written: the tables and chunks that its reader verifies."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from spikesam.recordings.chunks import read_table, stored_chunks
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec
from tests.recordings.rasters import HEADER, record
from tests.recordings.test_maps import HEADER as MAPS
from tests.recordings.test_maps import write


def opened(content: bytes) -> h5py.File:
    """A file in memory."""
    return h5py.File(io.BytesIO(content), "r")


def verified_chunks(path: Path, layer: LayerSpec, sample: int) -> list[bytes]:
    """The chunks of a sample as HDF5 reads them one by one, once the reader has verified them."""
    with RasterReader(path) as raster, h5py.File(path) as file:
        raster.packed(layer, sample)
        dataset = file[f"layers/{layer.group}/spikes"]
        starts = range(0, raster.timesteps, dataset.chunks[1])
        return [bytes(dataset.id.read_direct_chunk((sample, start, 0))[1]) for start in starts]


def test_chunks_and_tables_of_a_raster_are_those_that_its_reader_verifies(tmp_path: Path) -> None:
    path = record(tmp_path, 5)
    with RasterReader(path) as raster, opened(content := path.read_bytes()) as sealed:
        assert sealed.attrs["backend"] == raster.header.backend
        np.testing.assert_array_equal(read_table(sealed, "samples/prediction"), raster.predictions)
        for layer in raster.layers:
            expected = [verified_chunks(path, layer, sample) for sample in range(5)]
            found = stored_chunks(sealed, content, f"layers/{layer.group}/spikes")
            assert [[bytes(chunk) for chunk in row] for row in found] == expected
            np.testing.assert_array_equal(read_table(sealed, f"layers/{layer.group}/count"), raster.counts(layer))


def test_several_chunks_of_a_sample_are_in_order_of_time(tmp_path: Path) -> None:
    layer = replace(HEADER.layers[1], shape=(64, 128, 128))  # 128 KiB a step, so 8 steps a chunk
    path = record(tmp_path, 2, replace(HEADER, timesteps=20, layers=(layer,)))
    with RasterReader(path) as raster, opened(content := path.read_bytes()) as sealed:
        found = stored_chunks(sealed, content, f"layers/{layer.group}/spikes")
        assert [len(row) for row in found] == [3, 3]
        for sample, row in enumerate(found):
            assert [bytes(chunk) for chunk in row] == verified_chunks(path, raster.layers[0], sample)


def test_maps_of_the_first_samples_have_rows_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "sam.h5")
    with MapReader(path) as maps, opened(content := path.read_bytes()) as sealed:
        for layer in maps.layers:
            assert len(stored_chunks(sealed, content, layer.path("sum"))) == 3
            assert len(stored_chunks(sealed, content, layer.path("sam"))) == MAPS.stepped == 2
