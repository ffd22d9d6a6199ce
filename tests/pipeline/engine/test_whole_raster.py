"""A raster that is filled while samples are computed is the one that range files give, whatever happens meanwhile."""

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spikesam.pipeline.engine.compute_folder import compute_all
from spikesam.pipeline.engine.folder import begin
from spikesam.pipeline.engine.job import Job
from spikesam.pipeline.engine.merge import WholeRaster, merge, remove_parts
from spikesam.recordings.lock import out_lock
from spikesam.recordings.progress import Tracker
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.writer import SampleRecord
from tests.pipeline.engine.jobs import COUNT, add, begun, digest, files, job
from tests.recordings.rasters import HEADER, record

RANGES = ["00000000.range", "00000016.range", "00000032.range", "00000048.range"]


def whole_run(folder: Path, given: Job | None = None) -> Path:
    with out_lock(folder):
        compute_all(folder, begin(folder, given or job()), Tracker())
        remove_parts(folder)
    return folder / "raster.h5"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(record(tmp_path_factory.mktemp("whole"), COUNT))


def test_the_raster_is_the_same(tmp_path: Path, expected: str) -> None:
    assert digest(whole_run(tmp_path)) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.safetensors", "raster.h5"]


def test_an_unfinished_raster_is_removed_and_resumed_from_its_ranges(tmp_path: Path, expected: str) -> None:
    store = begun(tmp_path, whole=True)
    add(store, range(35))
    store.flush()
    assert list(tmp_path.glob(".spikesam-*.tmp"))
    assert store._whole is not None
    store._whole.close()
    assert not list(tmp_path.glob(".spikesam-*.tmp"))
    other = job(replace(HEADER, backend="lava"))
    with RasterReader(whole_run(tmp_path, other)) as raster:
        assert (raster.raster_digest, raster.header.backend) == (expected, "torch+lava")
    assert other.backend.simulated == list(range(35, COUNT))  # type: ignore[attr-defined]


def test_what_a_kill_leaves_of_it_is_removed(tmp_path: Path, expected: str) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from tests.pipeline.engine.jobs import add, begun
add(store := begun(Path(sys.argv[1]), whole=True), range(35))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (files(tmp_path), len(list(tmp_path.glob(".spikesam-*.tmp")))) == (RANGES[:2], 1)
    assert digest(whole_run(tmp_path)) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.safetensors", "raster.h5"]


@pytest.mark.parametrize("failing", [0, 16, 48])
def test_a_full_disk_leaves_it_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str, failing: int
) -> None:
    plain, failures = WholeRaster.add, []

    def full(whole: WholeRaster, records: list[SampleRecord]) -> None:
        if records[0].position == failing and not failures:
            failures.append(failing)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(whole, records)

    monkeypatch.setattr(WholeRaster, "add", full)
    assert digest(whole_run(tmp_path)) == expected
    assert failures == [failing]


def test_ranges_may_have_what_it_takes_of_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    store = begun(tmp_path, whole=True)
    add(store, range(24))

    def full(_: int) -> None:
        if list(tmp_path.glob(".spikesam-*")):  # the unfinished raster takes the space
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        add(store, range(24, 34))
    assert files(tmp_path) == RANGES[:2]
    add(store, range(34, COUNT))
    store.flush()
    assert files(tmp_path) == RANGES
    merge(tmp_path, begin(tmp_path, job()).spec)
    assert digest(tmp_path / "raster.h5") == expected


def test_a_range_that_is_damaged_meanwhile_does_no_harm_to_what_is_in_memory(tmp_path: Path, expected: str) -> None:
    add(store := begun(tmp_path, whole=True), range(COUNT))
    store.flush()
    assert store._whole is not None
    path = tmp_path / "raster.parts" / RANGES[1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    merge(tmp_path, store._job.spec, whole=store._whole, checked=store.checked)
    assert digest(tmp_path / "raster.h5") == expected
