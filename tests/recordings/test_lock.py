"""One run per folder."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spikesam.recordings import lock
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import out_lock

HOLD = """
import sys
from pathlib import Path
from spikesam.recordings import lock
with {held}:
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(held: str) -> subprocess.Popen[str]:
    """A process that holds a lock until its input ends."""
    code = HOLD.format(held=held)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_at_once(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from spikesam.recordings.lock import out_lock
with out_lock(Path(sys.argv[1])):
    print("held")
"""
    ask = [sys.executable, "-c", code, str(tmp_path)]
    with out_lock(tmp_path):
        second = subprocess.run(ask, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    last = second.stderr.splitlines()[-1]
    assert last.startswith(
        f"spikesam.recordings.errors.InputError: {tmp_path}: another run is writing here, expected one run"
    )
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "held\n"


def test_only_the_thread_that_holds_a_directory_may_hold_it_again(tmp_path: Path) -> None:
    def hold() -> None:
        with out_lock(tmp_path):
            assert (tmp_path / ".lock").exists()

    with out_lock(tmp_path), ThreadPoolExecutor(1) as pool:
        hold()
        assert (tmp_path / ".lock").exists()  # released by the outer block alone
        with pytest.raises(InputError, match="another run is writing here"):
            pool.submit(hold).result()
    hold()


def test_nothing_is_left_of_a_lock_under_which_nothing_was_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "new/deep/folder"):
        with pytest.raises(InputError, match="refused"), out_lock(tmp_path / name):
            raise InputError("refused")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    with out_lock(tmp_path / "new" / "deep"):
        (tmp_path / "new" / "deep" / "result").touch()
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["deep", "result"]


def test_two_directories_are_two_locks(tmp_path: Path) -> None:
    with out_lock(tmp_path / "a"), out_lock(tmp_path / "b" / "deep"):
        assert (tmp_path / "b" / "deep").is_dir()


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
