"""Disks that are full or fill up: one line, and what was finished is kept."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.engine.folder import begin
from spikesam.pipeline.engine.merge import merge
from tests.pipeline.engine.jobs import add, begun, digest, files, finish, job
from tests.recordings.rasters import record

pytestmark = pytest.mark.alone

COUNT = 40
MANY = 120  # whose raster is larger than a file of 16 samples

LIMITED_RUN = f"""
import resource, sys
from pathlib import Path
from spikesam.common.progress import Tracker
from spikesam.pipeline.engine.folder import FolderStore, begin
from spikesam.pipeline.engine._compute import compute
from spikesam.pipeline.engine.merge import merge
from spikesam.pipeline.engine.compute_folder import compute_all
from spikesam.common.errors import InputError
from tests.pipeline.engine.jobs import job
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
folder = Path(sys.argv[1])
try:
    started = begin(folder, job(count={MANY}))
    if sys.argv[3] == "ahead":
        compute_all(folder, started, Tracker())
    else:
        compute(started, FolderStore(folder, started))
        merge(folder, started.spec)
except InputError as error:
    sys.exit(str(error))
"""


def whole_digest(folder: Path) -> str:
    return digest(record(folder, COUNT))


def finished_digest(folder: Path) -> str:
    finish(folder, job(count=COUNT))
    return digest(folder / "raster.h5")


def test_too_little_space_is_said_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2500))
    # 5 + 8 + 1 bytes per step, 6 steps, 40 samples, ¾ left by compression, once as ranges and once
    # merged: 5,040 bytes
    with pytest.raises(
        InputError,
        match=r"2\.5 kB free, expected about 5\.0 kB; free space, record fewer samples, or",
    ):
        begun(tmp_path, job(count=COUNT))
    monkeypatch.undo()
    finish(tmp_path, job(count=COUNT))  # nothing is in the way of another attempt


def test_space_gone_before_the_merge_keeps_every_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store := begun(tmp_path, job(count=COUNT)), range(COUNT))
    store.flush()
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
        says = r"100 bytes free, expected about .* kB; all samples are kept in .*resume=True"
        with pytest.raises(InputError, match=says):
            merge(tmp_path, begin(tmp_path, job(count=COUNT)).spec)
    assert not (tmp_path / "raster.h5").exists()
    assert list(begun(tmp_path, job(count=COUNT)).missing) == []
    assert finished_digest(tmp_path) == whole_digest(tmp_path / "whole")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fills_up_keeps_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    add(store := begun(tmp_path, job(count=COUNT)), range(16))
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", Mock(side_effect=OSError(number, os.strerror(number))))
        with pytest.raises(InputError) as caught:
            add(store, range(16, 32))
    kept = (
        f"16 of 40 samples are kept in {tmp_path / 'raster.parts'}; free space, then use "
        "resume=True"
    )
    assert str(caught.value) == f"{tmp_path}: cannot write there ({os.strerror(number)}); {kept}"
    assert files(tmp_path) == ["00000000.range"]
    assert finished_digest(tmp_path) == whole_digest(tmp_path / "whole")


@pytest.mark.parametrize("way", ["ahead", "at the end"])
def test_writes_that_really_fail_are_one_line_and_can_be_resumed(tmp_path: Path, way: str) -> None:
    """No file may grow beyond a limit, as on a full disk: too little for the job, a range, the
    merged file.
    """
    finish(tmp_path / "whole", job(count=MANY))
    expected, merged = (
        digest(tmp_path / "whole" / "raster.h5"),
        (tmp_path / "whole" / "raster.h5").stat().st_size,
    )
    for limit, kept in (
        (100, "nothing was recorded"),
        (9000, "nothing was recorded"),
        (
            merged * 97 // 100,
            "all samples are kept",
        ),  # a plain h5py.File would crash the process here
        (merged - 1, "all samples are kept"),
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
        finish(out, job(count=MANY))
        assert digest(out / "raster.h5") == expected
