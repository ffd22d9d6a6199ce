"""Files that HDF5 would hang over, crash over or fill the memory with are refused by a process that
can be ended.
"""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from spikesam.recordings import inspection
from spikesam.recordings.errors import RasterError
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings.rasters import GOLDEN, inspecting_process

HANGS = "opening it took more than 2 s of processor time, expected an intact file; get another copy"


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A raster over which HDF5 2.0 loops for ever: the first object of its global heap has no
    size.
    """
    content = bytearray(GOLDEN.read_bytes())
    heap = content.index(b"GCOL") + 16
    content[heap : heap + 16] = bytes(16)
    path = tmp_path / "endless.h5"
    path.write_bytes(content)
    return path


@pytest.mark.long
def test_a_file_that_hangs_hdf5_is_refused_and_the_next_one_is_read(endless: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(RasterError, match=f"^{endless}: {HANGS}$"):
        RasterReader(endless)
    assert time.monotonic() - begun < 60  # 2 s where a core is free
    with RasterReader(GOLDEN) as raster:
        assert raster.n_samples


def test_content_in_memory_is_refused_alike(endless: Path) -> None:
    with pytest.raises(RasterError, match=f"^raster in memory: {HANGS}$"):
        RasterReader(endless.read_bytes())


def test_a_relative_path_follows_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RasterReader(GOLDEN).close()
    (tmp_path / "other.h5").write_bytes(GOLDEN.read_bytes())
    monkeypatch.chdir(tmp_path)
    RasterReader("other.h5").close()
    with pytest.raises(RasterError, match=r"^no\.h5: no such file"):
        RasterReader("no.h5")


def test_a_child_that_was_killed_is_started_again() -> None:
    first = inspecting_process()
    os.kill(first, signal.SIGKILL)
    assert inspecting_process() != first


def test_a_child_that_was_stopped_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    first = inspecting_process()
    os.kill(first, signal.SIGSTOP)
    answer, patience = inspection._answer, inspection.PATIENCE

    def lose_patience_once(*question: Any) -> object:
        try:
            return answer(*question)
        finally:
            monkeypatch.setattr(
                inspection, "PATIENCE", patience
            )  # the next child may take its time to start

    monkeypatch.setattr(inspection, "PATIENCE", 1.0)
    monkeypatch.setattr(inspection, "_answer", lose_patience_once)
    with RasterReader(GOLDEN) as raster:
        assert raster.n_samples
    assert not Path(f"/proc/{first}").exists()


def test_a_crash_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pid = inspecting_process()
    answer = inspection._answer

    def crash(*question: Any) -> object:
        os.kill(pid, signal.SIGSEGV)
        return answer(*question)

    monkeypatch.setattr(inspection, "_answer", crash)
    with pytest.raises(
        RasterError, match=r"golden-v\d.h5: opening it crashed the library .* \(SIGSEGV\), expected"
    ):
        RasterReader(GOLDEN)


def test_threads_that_end_at_once_share_one_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel ends a child with the thread that started it."""
    monkeypatch.setattr(inspection, "_current", None)
    opened = list[int]()

    def read() -> None:
        with RasterReader(GOLDEN) as raster:
            opened.append(raster.n_samples)

    for _ in range(5):
        threads = [threading.Thread(target=read) for _ in range(4)]
        for step in (threading.Thread.start, threading.Thread.join):
            for thread in threads:
                step(thread)
    assert len(opened) == 20


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of processes as Linux does")
def test_a_hard_limit_on_memory_is_kept() -> None:
    """It is lower than what the child would allow itself."""
    code = (
        "from spikesam.recordings.raster.reader import RasterReader; "
        f"print(RasterReader({str(GOLDEN)!r}).n_samples)"
    )
    limits = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))"
    done = subprocess.run(
        [sys.executable, "-c", f"{limits}; {code}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


@pytest.mark.parametrize("lacks", ["files", "threads"])
def test_a_system_without_room_is_not_blamed_on_the_file(
    lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = (
        OSError(errno.EMFILE, "Too many open")
        if lacks == "files"
        else RuntimeError("can't start new thread")
    )
    monkeypatch.setattr(inspection, "_current", None)
    place = (subprocess, "Popen") if lacks == "files" else (threading.Thread, "start")
    monkeypatch.setattr(*place, Mock(side_effect=refusal))
    with pytest.raises(
        RasterError,
        match=r"golden-v\d.h5: cannot be opened here \(.*\), expected room for open files",
    ):
        RasterReader(GOLDEN)


def test_a_large_file_may_take_longer_than_a_small_one() -> None:
    assert inspection.allowed_seconds(0) == 2
    assert inspection.allowed_seconds(1_000_000_000) == 12


@pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel ends children of dead processes on Linux"
)
def test_nothing_is_left_of_a_killed_process_even_if_its_child_is_stopped() -> None:
    script = (
        "from tests.recordings.rasters import inspecting_process; "
        f"print(inspecting_process(), flush=True); input()  # {os.getpid()}"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    parent.stdin.close()
    until = time.monotonic() + 10
    while (
        Path(f"/proc/{pid}").exists()
        and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    ):
        assert time.monotonic() < until
        time.sleep(0.02)
