"""Files and folders that appear whole or not at all, what a kill left of them, and a disk that may
be full.
"""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

from spikesam.common.errors import ExistsError, InputError

WINDOWS = os.name == "nt"
NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(
    os, "O_BINARY", 0
)  # Windows has the second alone
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
TEMPORARY = re.compile(r"\.spikesam-[0-9a-f]{16}\.tmp")


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Yield an empty file, open for writing; it becomes `path`, safely on disk, if the block
    succeeds, else vanishes.

    Meanwhile it lies in the folder of `path`, under a name that nobody else has, so any number of
    processes may write the same `path`: it is always one of their files, and whole. A file that is
    replaced hands on its permissions. A link that is called `path` is replaced itself, never
    followed: a link in a folder that others can write to must not lead to your files. Without
    `overwrite`, an ExistsError if `path` exists, even since the beginning; an OSError if it is no
    regular file, or cannot be written.
    """
    _check(path, overwrite)
    remove_leftovers(path.parent)
    temporary = path
    try:
        temporary, file = _new_temporary(path.parent)
        with file:
            yield file
            file.flush()
            _keep_permissions(path, file.fileno())
            os.fsync(file.fileno())
            if WINDOWS:
                file.close()  # Windows renames no open file
            _name(temporary, path, overwrite)
        sync(path.parent)
    except BaseException as error:
        if temporary != path:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and (
            error.filename is None or TEMPORARY.fullmatch(Path(error.filename).name)
        ):
            error.filename, error.filename2 = str(path), None  # the name that a user knows
        raise


@contextmanager
def replacing_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder; it becomes `path`, safely on disk, if the block succeeds, else
    vanishes.

    Meanwhile it lies beside `path` as `new` in a working folder whose name is random. A folder that
    is replaced lies there as `old` for a moment, and is removed once the new one has its place. A
    kill between the two renames leaves both in the working folder; whoever comes next gives the old
    one its name back. Whoever calls this holds :func:`spikesam.common.lock.file_lock` of
    `path`. Without `overwrite`, an ExistsError if `path` exists.
    """
    for leftover in _working_folders(path):
        _clear(leftover, path)
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    working = path.with_name(f".{path.name}.spikesam-{secrets.token_hex(8)}")
    new = working / "new"
    try:
        working.mkdir()
        new.mkdir()
        yield new
        for item in (*new.rglob("*"), new):
            sync(item)
        if os.path.lexists(path):
            if not overwrite:
                raise _exists(path)
            path.rename(working / "old")
        new.rename(path)
        sync(path.parent)
    finally:
        _clear(working, path)
    for leftover in _working_folders(path):  # what another folder of that name kept from its place
        shutil.rmtree(leftover / "new", ignore_errors=True)
        shutil.rmtree(leftover, ignore_errors=True)


def write_file(path: Path, *parts: bytes | memoryview, overwrite: bool = True) -> None:
    """Write a whole file, of parts one behind the other, or nothing; see :func:`replacing`."""
    with replacing(path, overwrite=overwrite) as file:
        file.writelines(parts)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that no process holds: a kill left them. Files of other names are
    never touched.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name):
                _remove_unless_held(entry.path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error while `path` is written into one line that names it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)}); free space or choose another name"
        ) from error


def unused(path: Path) -> Path:
    """The path itself, or with -2, -3, … behind its name if it exists."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not candidate.exists())


def try_lock(handle: int) -> bool:
    """Lock an open file; False if another process holds it. Where the system knows no locks, nobody
    holds any.
    """
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return True
        raise


def sync(path: Path) -> None:
    """Make a file or the names in a folder last; where one cannot be read or synced, the system
    does so in its time.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP):
            raise


def check_free(directory: Path, needed: int, advice: str, kept_note: str = "") -> None:
    """Refuse to start what will not fit: `needed` bytes; `kept_note` says in the message what is
    safe.
    """
    free = shutil.disk_usage(directory).free
    if free < needed:
        kept_note = kept_note and f"; {kept_note}"
        raise InputError(
            f"{directory}: {readable(free)} free, expected about {readable(needed)}{kept_note}",
            advice,
        )


def reason(error: Exception) -> str:
    """The reason why writing failed, in the system's words; HDF5 hides the error number in a longer
    text.
    """
    number = getattr(error, "errno", None) or next(
        iter(re.findall(r"errno = (\d+)", str(error))), None
    )
    return os.strerror(int(number)) if number else " ".join(str(error).split())[:200]


def readable(size: float) -> str:
    """A number of bytes as people write it: "1.5 GB"."""
    if size < 1000:
        return f"{size:.0f} bytes"
    power = min(int(math.log10(size) / 3), 4)
    return f"{size / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def _working_folders(path: Path) -> list[Path]:
    """Files that :func:`replacing_folder` of this path left when it was killed."""
    name = re.compile(re.escape(f".{path.name}.spikesam-") + "[0-9a-f]{16}")
    return [path.with_name(entry) for entry in os.listdir(path.parent) if name.fullmatch(entry)]


def _clear(working: Path, path: Path) -> None:
    """Remove a working folder. The old folder in it goes back to its place if it lost that, and
    stays if something else took it.

    `old` is whole as long as `new` is there: only a new folder that has its place leaves the old
    one to be removed.
    """
    old, new = working / "old", working / "new"
    if old.exists() and new.exists():
        if os.path.lexists(path):
            return
        old.rename(path)
        sync(path.parent)
    shutil.rmtree(working, ignore_errors=True)


def _check(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):  # such as /dev/null, which a rename would destroy
            raise OSError(errno.EINVAL, "Not a regular file", str(path))


def _exists(path: Path) -> ExistsError:
    return ExistsError(f"{path}: already exists, and was not replaced; choose another name")


def _new_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """Make and open an empty file, locked for as long as it is open; no file that exists is taken,
    no link followed.
    """
    while True:
        path = folder / f".spikesam-{secrets.token_hex(8)}.tmp"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_WAITING | NO_LINKS, 0o666)
        if _locked(handle) and os.path.lexists(path):
            return path, open(handle, "w+b")
        os.close(handle)  # another process took it for a leftover before it was locked


def _locked(handle: int) -> bool:
    try:
        return try_lock(handle)
    except OSError:  # a file system without locks, on which nothing counts as a leftover either
        return True


def _remove_unless_held(path: str) -> None:
    with suppress(OSError):  # held, gone, a link, or another user's
        if WINDOWS:
            os.unlink(path)  # Windows removes no open file, and who holds it has it open
            return
        handle = os.open(path, os.O_RDWR | NO_WAITING | NO_LINKS)
        try:
            if lock_descriptor(handle, blocking=False):
                os.unlink(path)
        finally:
            os.close(handle)


def _keep_permissions(path: Path, file: int) -> None:
    with suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and hasattr(os, "fchmod"):  # Windows has none before Python 3.13
            os.fchmod(file, mode & 0o777)


def _name(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give a finished file its name: in place of another, or only if there is none."""
    if overwrite:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
        temporary.unlink()
        return
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        pass  # a file system without hard links
    try:
        path.open("x").close()  # who has made the name may replace it
    except FileExistsError:
        raise _exists(path) from None
    try:
        temporary.replace(path)
    except OSError:
        path.unlink()
        raise
