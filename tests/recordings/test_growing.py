"""A raster whose number of samples nobody knew: the file of a run that knew it, or no file at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recordings.errors import InputError
from recordings.raster.growing import GrowingWriter
from recordings.raster.reader import RasterReader
from recordings.raster.writer import RasterWriter

from .rasters import HEADER, batch, record, samples


def grown(path: Path, count: int, size: int, overwrite: bool = False) -> GrowingWriter:
    """A writer that was given so many samples, in batches of `size`."""
    writer = GrowingWriter(path, HEADER, overwrite=overwrite)
    for start in range(0, count, size):
        rows = range(start, min(start + size, count))
        writer.append(batch(HEADER, rows), samples(count)[rows.start : rows.stop])
    return writer


@pytest.mark.parametrize("size", [1, 5, 16, 40])
def test_the_same_raster_as_with_a_known_number_of_samples(tmp_path: Path, size: int) -> None:
    expected = record(tmp_path / "known", 37)
    with RasterReader(expected) as known, RasterReader(grown(tmp_path / "c.h5", 37, size).finalize()) as found:
        found.verify()
        assert found.raster_digest == known.raster_digest
        assert found.header == known.header
        assert found.samples.index.tolist() == known.samples.index.tolist()
        assert found.samples.label.tolist() == known.samples.label.tolist()
        assert found.predictions.tolist() == known.predictions.tolist()
        assert found.readout.tolist() == known.readout.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.h5", "known"]


def test_shards_hold_16_samples_at_most_and_are_no_finished_file(tmp_path: Path) -> None:
    writer = grown(tmp_path / "new" / "raster.h5", 40, 20)
    shards = sorted((tmp_path / "new" / "raster.parts").iterdir())
    assert [path.name for path in shards] == ["00000000.h5", "00000016.h5"]
    assert writer.n_samples == 40
    assert not (tmp_path / "new" / "raster.h5").exists()
    with pytest.raises(InputError, match="raster.parts: already exists"):
        RasterWriter(tmp_path / "new", HEADER, samples(40))
    writer.discard()
    assert not any((tmp_path / "new").iterdir())


def test_earlier_work_is_replaced_only_if_asked_and_only_by_a_whole_file(tmp_path: Path) -> None:
    path = grown(tmp_path / "raster.h5", 3, 3).finalize()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"raster\.h5: already exists; choose another name, or pass overwrite=True"):
        GrowingWriter(path, HEADER)
    grown(path, 20, 20, overwrite=True).discard()
    assert path.read_bytes() == before
    path.unlink()
    grown(path, 20, 20)  # and then it is killed
    with pytest.raises(InputError, match=r"raster\.parts: a run that has not finished left this; .* overwrite=True"):
        GrowingWriter(path, HEADER)
    with RasterReader(grown(path, 17, 17, overwrite=True).finalize()) as raster:
        raster.verify()
        assert raster.n_samples == 17
    assert [file.name for file in tmp_path.iterdir()] == ["raster.h5"]


def test_a_batch_that_is_not_what_the_header_says_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the header says"):
        GrowingWriter(tmp_path / "c.h5", HEADER).append(batch(replace(HEADER, timesteps=5), range(1)), samples(1))


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"c\.h5: cannot be written \(Not a directory\); free space or choose"):
        grown(tmp_path / "file" / "c.h5", 1, 1).finalize()
