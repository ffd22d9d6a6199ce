"""A raster that is filled while samples are still recorded is the one that shards give, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recordings.errors import InputError
from recordings.raster.merging import MergedRaster
from recordings.raster.reader import RasterReader
from recordings.raster.records import SampleRecord
from recordings.raster.writer import RasterWriter

from .rasters import HEADER, batch, record, samples

COUNT = 40


def begun(directory: Path, count: int = COUNT, resume: bool = False) -> RasterWriter:
    """Record the first samples of those that remain."""
    writer = RasterWriter(directory, HEADER, samples(COUNT), resume=resume, ahead=True)
    while len(writer.remaining) > COUNT - count:
        writer.append(batch(HEADER, writer.remaining[: min(8, len(writer.remaining) - COUNT + count)]))
    return writer


def digest(path: Path) -> str:
    with RasterReader(path) as raster:
        raster.verify()
        return raster.raster_digest


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(record(tmp_path_factory.mktemp("whole"), COUNT))


def test_the_raster_is_the_same(tmp_path: Path, expected: str) -> None:
    path = begun(tmp_path).finalize()
    assert digest(path) == expected
    assert files(tmp_path) == ["raster.h5"]


def test_few_samples_go_to_the_file_at_once(tmp_path: Path) -> None:
    writer = RasterWriter(tmp_path, HEADER, samples(16), ahead=True)
    writer.append(batch(HEADER, range(16)))
    assert files(tmp_path) == ["manifest.json"]
    assert digest(writer.finalize()) == digest(record(tmp_path / "other", 16))
    assert not writer.parts.exists()


def test_an_unfinished_raster_is_removed_and_resumed_from_shards(tmp_path: Path, expected: str) -> None:
    writer = begun(tmp_path, 35)
    writer.flush()
    writer.close()
    assert files(tmp_path) == ["00000000.h5", "00000016.h5", "00000032.h5", "manifest.json"]
    resumed = RasterWriter(tmp_path, replace(HEADER, backend="lava"), samples(COUNT), resume=True, ahead=True)
    assert resumed.remaining.tolist() == list(range(35, COUNT))
    resumed.append(batch(HEADER, range(35, COUNT)))
    with RasterReader(resumed.finalize()) as raster:
        assert (raster.raster_digest, raster.header.backend) == (expected, "torch+lava")
    assert files(tmp_path) == ["raster.h5"]


def test_what_a_kill_leaves_of_it_is_removed(tmp_path: Path, expected: str) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from tests.recordings.test_merging import begun
writer = begun(Path(sys.argv[1]), 35)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(files(tmp_path)) == 4  # two shards, the manifest, and a temporary file
    assert digest(begun(tmp_path, resume=True).finalize()) == expected
    assert files(tmp_path) == ["raster.h5"]


@pytest.mark.parametrize("failing", [0, 16, 32])
def test_a_full_disk_leaves_it_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str, failing: int
) -> None:
    plain, failures = MergedRaster.add_records, []

    def full(merged: MergedRaster, records: list[SampleRecord]) -> None:
        if records[0].position == failing and not failures:
            failures.append(failing)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(merged, records)

    monkeypatch.setattr(MergedRaster, "add_records", full)
    writer = begun(tmp_path)
    if failing == 32:  # of the last samples, which are in no shard yet
        with pytest.raises(InputError, match=r"\(No space left on device\); 40 of 40 samples are kept in .*parts"):
            writer.finalize()
        assert files(tmp_path) == ["00000000.h5", "00000016.h5", "00000032.h5", "manifest.json"]
    assert digest(writer.finalize()) == expected
    assert files(tmp_path) == ["raster.h5"]


def test_shards_may_have_what_it_takes_of_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    writer = begun(tmp_path, 24)

    def full(_: int) -> None:
        if list(tmp_path.glob(".spikesam-*")):  # the unfinished raster takes the space
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr("recordings.disk._sync", full)
        writer.append(batch(HEADER, range(24, 34)))
    assert files(tmp_path) == ["00000000.h5", "00000016.h5", "manifest.json"]
    writer.append(batch(HEADER, range(34, COUNT)))
    assert digest(writer.finalize()) == expected


def test_a_shard_that_is_damaged_meanwhile_does_no_harm(tmp_path: Path, expected: str) -> None:
    writer = begun(tmp_path)
    (writer.parts / "00000016.h5").write_bytes(b"")
    assert digest(writer.finalize()) == expected
