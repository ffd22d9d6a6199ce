"""Disks that are full or fill up, and memory that does not."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from recordings import disk
from recordings.disk import readable
from recordings.errors import InputError
from recordings.raster.reader import RasterReader
from recordings.raster.writer import RasterWriter

from .rasters import HEADER, batch, record, samples

pytestmark = pytest.mark.alone

COUNT = 40

LIMITED_RUN = f"""
import resource, sys
from pathlib import Path
from recordings.errors import InputError
from recordings.raster.writer import RasterWriter
from tests.recordings.rasters import HEADER, batch, samples
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    writer = RasterWriter(Path(sys.argv[1]), HEADER, samples({COUNT}), ahead=sys.argv[3] == "ahead")
    while len(writer.remaining):
        writer.append(batch(HEADER, writer.remaining[:16]))
    writer.finalize()
except InputError as error:
    sys.exit(str(error))
"""


def whole_digest(directory: Path) -> str:
    with RasterReader(record(directory, COUNT)) as raster:
        return raster.raster_digest


def finish(directory: Path) -> str:
    writer = RasterWriter(directory, HEADER, samples(COUNT), resume=True)
    while len(writer.remaining):
        writer.append(batch(HEADER, writer.remaining[:16]))
    with RasterReader(writer.finalize()) as raster:
        raster.verify()
        return raster.raster_digest


def test_too_little_space_is_said_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2500))
    # 5 + 8 + 1 bytes per step, 6 steps, 40 samples, ¾ left by compression, once as shards and once merged: 5,040 bytes
    with pytest.raises(InputError, match=r"2\.5 kB free, expected about 5\.0 kB; free space, record fewer samples, or"):
        RasterWriter(tmp_path, HEADER, samples(COUNT))
    monkeypatch.undo()
    record(tmp_path, COUNT)  # nothing is in the way of another attempt


def test_space_gone_before_the_merge_keeps_every_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RasterWriter(tmp_path, HEADER, samples(COUNT))
    for first in range(0, COUNT, 10):
        writer.append(batch(HEADER, range(first, first + 10)))
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
        with pytest.raises(
            InputError, match=r"100 bytes free, expected about .* kB; all samples are kept in .*--resume"
        ):
            writer.finalize()
    assert not (tmp_path / "raster.h5").exists()
    assert RasterWriter(tmp_path, HEADER, samples(COUNT), resume=True).remaining.tolist() == []
    assert finish(tmp_path) == whole_digest(tmp_path / "whole")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fills_up_keeps_the_finished_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    writer = RasterWriter(tmp_path, HEADER, samples(COUNT))
    writer.append(batch(HEADER, range(16)))

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(disk, "_sync", full)
        with pytest.raises(InputError) as caught:
            writer.append(batch(HEADER, range(16, 32)))
    assert str(caught.value) == (
        f"{tmp_path}: cannot write there ({os.strerror(number)}); 16 of 40 samples are kept in "
        f"{tmp_path / 'raster.parts'}; free space, then use --resume"
    )
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["00000000.h5", "manifest.json"]
    assert finish(tmp_path) == whole_digest(tmp_path / "whole")


@pytest.mark.parametrize("way", ["ahead", "at the end"])
def test_writes_that_really_fail_are_one_line_and_can_be_resumed(tmp_path: Path, way: str) -> None:
    """No file may grow beyond a limit, as on a full disk: too little for a manifest, a shard, the merged file."""
    expected = whole_digest(tmp_path / "whole")
    merged = (tmp_path / "whole" / "raster.h5").stat().st_size
    for limit, kept in (
        (100, "nothing was recorded"),
        (9000, "nothing was recorded"),
        (merged * 97 // 100, "40 of 40 samples"),  # a plain h5py.File would crash the process here
        (merged - 1, "40 of 40 samples"),
    ):
        out = tmp_path / str(limit)
        run = [sys.executable, "-c", LIMITED_RUN, str(out), str(limit), way]
        ran = subprocess.run(run, capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        assert ran.stderr.startswith(f"{out}: cannot write there (File too large); ")
        assert kept in ran.stderr
        assert not (out / "raster.h5").exists()
        assert not list(out.rglob("*.tmp"))
        assert finish(out) == expected


def test_memory_stays_flat_as_samples_grow(tmp_path: Path) -> None:
    code = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from recordings.raster.batch import RasterBatch
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec
from recordings.schema import SampleTable
from recordings.raster.writer import RasterWriter
from tests.recordings.rasters import HEADER
layer = LayerSpec("input", 0, (8, 64, 64), "input", 0.0, 0.0)  # 40 kB per sample
header = replace(HEADER, layers=(layer,), timesteps=10)
count = int(sys.argv[2])
writer = RasterWriter(Path(sys.argv[1]), header, SampleTable(np.arange(count), np.arange(count) % 3))
spikes = np.random.default_rng(0).integers(0, 256, (10, 10, 4096), dtype=np.uint8)
while len(writer.remaining):
    writer.append(RasterBatch({"input": spikes}, np.zeros((10, 3), np.int32)))
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


def test_sizes_are_written_as_people_read_them() -> None:
    assert [readable(size) for size in (0, 999, 1000, 1_540_000, 2e9, 3e15)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "1.5 MB",
        "2.0 GB",
        "3000.0 TB",
    ]
