"""A raster whose number of samples nobody knew: a whole file, or no file at all; memory stays flat meanwhile."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spikesam.recordings.errors import InputError, RasterError
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import GrowingWriter
from tests.recordings.rasters import HEADER, batch, record, samples


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
    writer.discard()
    assert not any((tmp_path / "new").iterdir())


def test_earlier_work_is_replaced_only_if_asked_and_only_by_a_whole_file(tmp_path: Path) -> None:
    path = grown(tmp_path / "raster.h5", 3, 3).finalize()
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"raster\.h5: already exists; choose another name, or replace it with overwrite=True"
    ):
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


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!")])
def test_a_shard_that_was_changed_or_removed_meanwhile(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    writer = grown(tmp_path / "c.h5", 40, 8)
    harm(tmp_path / "c.parts" / "00000016.h5")
    with pytest.raises(RasterError, match=r"00000016\.h5: was changed or removed since it was written; record again"):
        writer.finalize()
    assert not (tmp_path / "c.h5").exists()


@pytest.mark.alone
def test_memory_stays_flat_as_samples_grow(tmp_path: Path) -> None:
    code = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.writer import GrowingWriter
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.schema import SampleTable
from tests.recordings.rasters import HEADER
layer = LayerSpec("input", 0, (8, 64, 64), "input", 0.0, 0.0)  # 40 kB per sample
header = replace(HEADER, layers=(layer,), timesteps=10)
count = int(sys.argv[2])
writer = GrowingWriter(Path(sys.argv[1]) / "raster.h5", header)
spikes = np.random.default_rng(0).integers(0, 256, (10, 10, 4096), dtype=np.uint8)
for first in range(0, count, 10):
    table = SampleTable(np.arange(first, first + 10), np.arange(10) % 3)
    writer.append(RasterBatch({"input": spikes}, np.zeros((10, 3), np.int32)), table)
with RasterReader(writer.finalize()) as raster:
    raster.verify()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = {}
    for count in (10, 1000):
        run = [sys.executable, "-c", code, str(tmp_path / str(count)), str(count)]
        peaks[count] = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert (tmp_path / "1000" / "raster.h5").stat().st_size > 40e6
    assert peaks[1000] - peaks[10] < 8_000  # kB; 990 more samples are 40,000
