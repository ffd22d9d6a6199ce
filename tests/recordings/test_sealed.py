"""What is copied of a file whose bytes are those that were written: the tables and chunks that its reader verifies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from recordings.maps.reader import MapReader
from recordings.raster.reader import RasterReader
from recordings.sealed import SealedFile

from .rasters import HEADER, record
from .test_maps import HEADER as MAPS
from .test_maps import write


def test_chunks_and_tables_of_a_raster_are_those_that_its_reader_verifies(tmp_path: Path) -> None:
    path = record(tmp_path, 5)
    with RasterReader(path) as raster, SealedFile(path.read_bytes()) as sealed:
        assert sealed.text("backend") == raster.header.backend
        np.testing.assert_array_equal(sealed.table("samples/prediction"), raster.predictions)
        for layer in raster.layers:
            expected = [raster.stored_chunks(layer, sample) for sample in range(5)]
            found = sealed.chunks(f"layers/{layer.group}/spikes")
            assert [[bytes(chunk) for chunk in row] for row in found] == expected
            np.testing.assert_array_equal(sealed.table(f"layers/{layer.group}/count"), raster.counts(layer))


def test_several_chunks_of_a_sample_are_in_order_of_time(tmp_path: Path) -> None:
    layer = replace(HEADER.layers[1], shape=(64, 128, 128))  # 128 KiB a step, so 8 steps a chunk
    path = record(tmp_path, 2, replace(HEADER, timesteps=20, layers=(layer,)))
    with RasterReader(path) as raster, SealedFile(path.read_bytes()) as sealed:
        found = sealed.chunks(f"layers/{layer.group}/spikes")
        assert [len(row) for row in found] == [3, 3]
        for sample, row in enumerate(found):
            assert [bytes(chunk) for chunk in row] == raster.stored_chunks(raster.layers[0], sample)


def test_maps_of_the_first_samples_have_rows_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "sam.h5")
    with MapReader(path) as maps, SealedFile(path.read_bytes()) as sealed:
        for layer in maps.layers:
            assert len(sealed.chunks(MAPS.sum_path(layer))) == 3
            assert len(sealed.chunks(MAPS.path(layer))) == MAPS.stepped == 2
