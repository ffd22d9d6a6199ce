"""A lease is held against whoever is alive; from a process that is stopped, it is taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikesam.recordings import lock
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import HeldError, lease, out_lock

HOLD = """
import sys
from pathlib import Path
from spikesam.recordings import lock
lock.BEAT = 0.1
with {held}:
    print("held", flush=True)
    sys.stdin.read()
"""
PATIENCE = 2.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00000000.range"


def holding(held: str) -> subprocess.Popen[str]:
    """A process that holds a lock until its input ends."""
    code = HOLD.format(held=held)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = holding(f"lock.lease(Path({str(path)!r}), 60)")
    yield process
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "" and process.returncode == 0


def test_a_process_that_lives_keeps_its_lease(path: Path, holder: subprocess.Popen[str]) -> None:
    time.sleep(PATIENCE + 0.5)
    with pytest.raises(HeldError) as error, lease(path, PATIENCE):
        pass
    assert error.value.holder == f"pid {holder.pid} on {os.uname().nodename}"
    assert error.value.silent < PATIENCE


def test_the_lease_of_a_stopped_process_is_taken_and_it_does_no_harm(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    while True:
        try:
            with lease(path, PATIENCE) as taken:
                assert taken == f"pid {holder.pid} on {os.uname().nodename}"
                assert PATIENCE - 0.5 < time.monotonic() - begun < PATIENCE + 10
                holder.send_signal(signal.SIGCONT)
                holder.communicate(timeout=30)  # it lets go of what it lost
                with pytest.raises(HeldError, match=str(os.getpid())), lease(path, PATIENCE):
                    pass
            break
        except HeldError:
            time.sleep(0.05)
    assert not list(path.parent.iterdir())


def test_the_lease_of_a_killed_process_is_free(path: Path) -> None:
    process = holding(f"lock.lease(Path({str(path)!r}), 60)")
    process.kill()
    process.communicate()
    with lease(path, PATIENCE) as taken:
        assert taken == ""
    assert not list(path.parent.iterdir())


def test_a_lease_needs_its_folder(tmp_path: Path) -> None:
    gone = pytest.raises(InputError, match=r"run: is gone; the run was merged or removed meanwhile$")
    with gone, lease(tmp_path / "run" / "00000000.range", PATIENCE):
        pass
    assert not list(tmp_path.iterdir())


def test_who_shares_a_directory_keeps_out_who_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PAUSE", 0.001)
    shared = [holding(f"lock.out_lock(Path({str(tmp_path)!r}), shared=True)") for _ in range(3)]
    for number, process in enumerate(shared):
        living = "|".join(str(each.pid) for each in shared[number:])
        says = rf"another run is writing here, expected one run per directory \(pid ({living}) on "
        with pytest.raises(InputError, match=says), out_lock(tmp_path):
            pass
        process.communicate()
    assert not list(tmp_path.iterdir())
    code = HOLD.format(held=f"lock.out_lock(Path({str(tmp_path)!r}), shared=True)")
    with out_lock(tmp_path):
        refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another run is writing here" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_killed_process_shares_nothing_any_more(tmp_path: Path) -> None:
    processes = [holding(f"lock.out_lock(Path({str(tmp_path)!r}), shared=True)") for _ in range(2)]
    for process in processes:
        process.kill()
        process.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    with out_lock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [lock.LOCK_NAME]
    assert not list(tmp_path.iterdir())


def test_a_lease_that_is_left_to_the_end_of_a_process_does_not_keep_it(path: Path) -> None:
    """Ctrl-C does so where it comes between the lease and the block that it is for."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom spikesam.recordings.lock import lease\n"
        "held = lease(Path(sys.argv[1]), 9)\nheld.__enter__()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], timeout=30, check=True)
    with lease(path, PATIENCE) as given_up:
        assert given_up == ""
