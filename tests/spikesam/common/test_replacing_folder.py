"""A folder that is replaced: under its name is the old one or the new one, whole, whatever was
killed or full.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from spikesam.common.disk import replacing_folder
from spikesam.common.errors import InputError

CALLS = ("fsync", "link", "mkdir", "open", "rename", "replace", "rmdir", "unlink")


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)


class KilledError(BaseException):
    """A kill: nothing of this process runs any more, so that no call changes the disk."""


@contextmanager
def kill_at(number: int, after: bool) -> Iterator[Callable[[], int]]:
    """Kill this process before or after its call of this number that changes the disk."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count > number or (count == number and not after):
                raise KilledError
            result = function(*arguments, **options)
            if count == number:
                raise KilledError
            return result

        return call

    with patch.multiple(os, **{name: counted(getattr(os, name)) for name in CALLS}):
        yield lambda: count


def write(path: Path, text: str, overwrite: bool = True) -> None:
    with replacing_folder(path, overwrite) as folder:
        (folder / "conv1").mkdir()
        for name in ("conv1/0", "conv1/1", "zarr.json"):
            (folder / name).write_text(text)


def content(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_text() for file in files}


def whole(text: str) -> dict[str, str]:
    return dict.fromkeys(("conv1/0", "conv1/1", "zarr.json"), text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full_disk(path: Path) -> None:
    """Begin to replace a folder, on a disk that is full."""
    with pytest.raises(OSError, match="No space"), replacing_folder(path, True):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_and_then_a_full_disk_leave_the_old_one_or_the_new_one(
    tmp_path: Path, after: bool
) -> None:
    kills, reached = 0, True
    while reached:
        kills += 1
        path = tmp_path / str(kills) / "y.zarr"
        path.parent.mkdir()
        write(path, "old")
        with kill_at(kills, after) as calls:
            with suppress(KilledError):
                write(path, "new")
            reached = calls() >= kills
        full_disk(path)
        assert content(path) in (whole("old"), whole("new")), f"killed at call {kills}"
        write(path, "newest")
        assert content(path) == whole("newest") and names(path.parent) == ["y.zarr"]
    assert kills > 20


def test_a_second_kill_while_the_old_one_gets_its_name_back_loses_nothing(tmp_path: Path) -> None:
    for first in range(12, 32):  # the renames are among them
        for second in (1, 2, 3):
            path = tmp_path / f"{first} {second}" / "y.zarr"
            path.parent.mkdir()
            write(path, "old")
            for number in (first, second):
                with kill_at(number, False), suppress(KilledError):
                    write(path, "new")
            full_disk(path)
            assert content(path) in (whole("old"), whole("new"))


def test_folders_of_the_users_are_left_alone(tmp_path: Path) -> None:
    mine = (".y.zarr.old", ".y.zarr.tmp", ".y.zarr.spikesam", ".spikesam-0123456789abcdef.tmp")
    for name in mine:
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("mine")
    write(tmp_path / "y.zarr", "old")
    write(tmp_path / "y.zarr", "new")
    assert names(tmp_path) == sorted([*mine, "y.zarr"])
    assert {content(tmp_path / name)["thesis.txt"] for name in mine} == {"mine"}


def test_what_a_kill_left_of_another_name_is_another_writers(tmp_path: Path) -> None:
    with kill_at(8, False), pytest.raises(KilledError):
        write(tmp_path / "x.zarr", "new")
    (leftover,) = names(tmp_path)
    write(tmp_path / "y.zarr", "new")
    assert names(tmp_path) == [leftover, "y.zarr"]


def test_a_name_that_is_taken_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "y.zarr"
    late = ExitStack()
    late.enter_context(replacing_folder(path, False))
    path.mkdir()
    (path / "mine").touch()
    with pytest.raises(InputError, match="already exists, and was not replaced"):
        late.close()
    assert names(tmp_path) == ["y.zarr"] and names(path) == ["mine"]


def test_the_old_one_is_back_before_anything_is_written_and_may_not_be_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "y.zarr"
    write(path, "old")
    for number in range(1, 40):
        with kill_at(number, False), suppress(KilledError):
            write(path, "new")
        if not path.exists():
            break
    assert not path.exists()
    with pytest.raises(InputError, match="already exists"), replacing_folder(path, False):
        raise AssertionError("it began to write")
    assert content(path) == whole("old") and names(tmp_path) == ["y.zarr"]
