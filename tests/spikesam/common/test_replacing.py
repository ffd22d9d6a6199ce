"""Files that appear whole or not at all, whoever else writes there, and whatever is killed; one run
per folder.
"""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from spikesam.common import lock
from spikesam.common.disk import readable, replacing, write_file
from spikesam.common.errors import InputError
from spikesam.common.lock import LOCK_NAME, file_lock, out_lock
from spikesam.recordings.raster.arrays import write_raster
from tests.recordings import maps

LEFTOVER = ".spikesam-0123456789abcdef.tmp"
WRITER = """
import sys, time
from pathlib import Path
from spikesam.common.disk import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_of_the_users_beside_the_target_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "x.h5.tmp").write_text("mine")
    (tmp_path / ".x.h5.tmp").write_text("mine")
    (tmp_path / ".spikesam-mine.tmp").write_text("mine")
    write_file(tmp_path / "x.h5", b"new")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x.h5"):
        raise ZeroDivisionError
    assert (tmp_path / "x.h5").read_bytes() == b"new"
    assert names(tmp_path) == [".spikesam-mine.tmp", ".x.h5.tmp", "x.h5", "x.h5.tmp"]
    assert {path.read_text() for path in tmp_path.glob("*.tmp")} == {"mine"}


def test_no_link_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("x.h5.tmp", LEFTOVER, "x.h5"):
        (folder / name).symlink_to(elsewhere)
    write_file(folder / "x.h5", b"new")
    assert elsewhere.read_text() == "precious"
    assert not (folder / "x.h5").is_symlink() and (folder / "x.h5").read_bytes() == b"new"
    assert (folder / LEFTOVER).is_symlink()


def test_a_link_to_nothing_is_replaced_or_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to(tmp_path / "nothing")
    with pytest.raises(
        InputError, match="x: already exists, and was not replaced; choose another name"
    ):
        write_file(tmp_path / "x", b"new", overwrite=False)
    write_file(tmp_path / "x", b"new")
    assert names(tmp_path) == ["x"] and (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["folder", "link to a folder", "pipe", "link to a pipe"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A rename onto /dev/null would be the end of it."""
    path, target = tmp_path / "x", tmp_path / "target"
    place = target if kind.startswith("link") else path
    place.mkdir() if kind.endswith("folder") else os.mkfifo(place)
    if kind.startswith("link"):
        path.symlink_to(target)
    before = path.lstat()
    with pytest.raises(
        OSError, match="Is a directory" if "folder" in kind else "Not a regular file"
    ) as caught:
        write_file(path, b"new")
    assert caught.value.filename == str(path)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)


def test_permissions_are_those_of_a_new_file_or_of_the_replaced_one(tmp_path: Path) -> None:
    earlier = os.umask(0o027)
    try:
        write_file(tmp_path / "new", b"")
    finally:
        os.umask(earlier)
    (tmp_path / "private").touch(0o600)
    write_file(tmp_path / "private", b"more")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "private")] == [
        0o640,
        0o600,
    ]


@pytest.mark.parametrize("links", [True, False])
def test_what_another_made_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:  # as on FAT and some network file systems
        monkeypatch.setattr(
            os, "link", Mock(side_effect=PermissionError(errno.EPERM, os.strerror(errno.EPERM)))
        )
    path = tmp_path / "x"
    late = ExitStack()
    late.enter_context(replacing(path, overwrite=False)).write(b"late")
    path.write_text("early")
    with pytest.raises(
        InputError, match="x: already exists, and was not replaced; choose another name"
    ):
        late.close()
    assert path.read_text() == "early" and names(tmp_path) == ["x"]
    write_file(tmp_path / "y", b"alone", overwrite=False)
    assert (tmp_path / "y").read_bytes() == b"alone" and names(tmp_path) == ["x", "y"]


def test_two_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path, contents = tmp_path / "x", [bytes([number]) * (1 << 20) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_file(path, content), contents))
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["x"]


def test_what_a_kill_left_is_removed_by_the_next_write_but_never_what_is_being_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        (temporary,) = tmp_path.glob(".spikesam-*.tmp")
        write_file(tmp_path / "y", b"")
        assert temporary.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.read_text() == "old" and temporary.read_bytes() == b"half"
    write_file(tmp_path / "y", b"")
    assert path.read_text() == "old" and names(tmp_path) == ["x", "y"]


def test_a_folder_in_which_a_kill_left_a_temporary_file_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / LEFTOVER).touch()
    with out_lock(tmp_path, "other-out"):
        assert names(tmp_path) == [LOCK_NAME]


def test_the_system_names_the_file_that_the_user_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_file(tmp_path / "absent" / "x", b"")
    assert caught.value.filename == str(tmp_path / "absent" / "x")
    with pytest.raises(OSError, match="No space left") as full, replacing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert full.value.filename == str(tmp_path / "x")


def test_a_lock_that_is_a_link_is_refused_and_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / LOCK_NAME).symlink_to(mine)
    with pytest.raises(InputError, match="cannot be written"), out_lock(tmp_path):
        pass
    assert mine.read_text() == "precious"


def test_out_may_be_a_link_to_a_folder_but_not_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with out_lock(tmp_path / "link"):
        assert names(tmp_path / "folder") == [LOCK_NAME]
    (tmp_path / "dangling").symlink_to("nothing")
    with (
        pytest.raises(InputError, match="dangling: cannot be written"),
        out_lock(tmp_path / "dangling"),
    ):
        pass
    assert names(tmp_path) == ["dangling", "folder", "link"] and names(tmp_path / "folder") == []


@pytest.mark.parametrize(
    "write", [lambda path: write_raster(path, {"a": np.ones((1, 1, 1))}), maps.write]
)
def test_one_writer_per_file(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = tmp_path / "c.h5"
    with (
        file_lock(path),
        pytest.raises(
            InputError, match=r"c\.h5: another run is writing it, expected one at a time"
        ),
    ):
        write(path)
    assert names(tmp_path) == []


def test_sizes_are_written_as_people_read_them() -> None:
    shown = "0 bytes, 999 bytes, 1.0 kB, 1.5 MB, 2.0 GB, 3000.0 TB"
    assert ", ".join(readable(size) for size in (0, 999, 1000, 1_540_000, 2e9, 3e15)) == shown


HOLD = """
import sys
from pathlib import Path
from spikesam.common import lock
with {held}:
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(held: str) -> subprocess.Popen[str]:
    """A process that holds a lock until its input ends."""
    code = HOLD.format(held=held)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_at_once(tmp_path: Path) -> None:
    code = HOLD.format(held=f"lock.out_lock(Path({str(tmp_path)!r}))")
    ask = {
        "args": [sys.executable, "-c", code],
        "stdin": subprocess.DEVNULL,
        "capture_output": True,
        "text": True,
    }
    with out_lock(tmp_path):
        second = subprocess.run(**ask, check=False)
    last = (
        f"spikesam.common.errors.InputError: {tmp_path}: another run is writing here, expected "
        "one run"
    )
    assert second.returncode == 1 and second.stderr.splitlines()[-1].startswith(last)
    assert subprocess.run(**ask, check=True).stdout == "held\n"


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


def test_who_shares_a_directory_keeps_out_who_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        refused = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
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


def test_who_shares_a_directory_removes_the_locks_of_killed_processes_alone(tmp_path: Path) -> None:
    share = f"lock.out_lock(Path({str(tmp_path)!r}), shared=True)"
    killed, living = holding(share), holding(share)
    killed.kill()
    killed.communicate()
    with out_lock(tmp_path, shared=True):
        assert len(list(tmp_path.iterdir())) == 2  # of this process, and of the living one
    assert len(list(tmp_path.iterdir())) == 1
    living.communicate()
    assert not list(tmp_path.iterdir())


def test_a_lock_that_cannot_be_opened_keeps_nobody_from_sharing(tmp_path: Path) -> None:
    unreadable = tmp_path / ".another.shared.lock"
    unreadable.mkdir()  # stands for a lock of another user, which root could open
    with out_lock(tmp_path, shared=True):
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == [unreadable]
