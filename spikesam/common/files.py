"""Files of unknown origin, read whole, never more of them than is sensible; places that nobody else
can write to.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import io
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO

from spikesam.common.disk import NO_WAITING, readable
from spikesam.common.errors import OTHER_OUT, OVERWRITE, InputError, at

BLOCK = 1 << 20  # bytes
LISTED = 1000  # names of a folder that are compared with a misspelt one


def similar_file(path: Path) -> str:
    """ "; did you mean runs/a/raster.h5?", of a path that is not there and one name in it misspelt;
    else nothing.
    """
    with suppress(OSError):
        wrong = next((part for part in (*reversed(path.parents), path) if not part.exists()), None)
        if wrong is None:
            return ""
        with os.scandir(wrong.parent) as entries:
            names = [
                entry.name
                for entry in islice(entries, LISTED)
                if Path(entry.name).suffix == wrong.suffix
            ]
        for stem in difflib.get_close_matches(wrong.stem, [Path(name).stem for name in names]):
            name = (
                stem + wrong.suffix
            )  # endings are alike, and make two names that differ look alike
            if (meant := wrong.with_name(name) / path.relative_to(wrong)).exists():
                return f"; did you mean {meant}?"
    return ""


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder, whoever made it, in which one of these names leads out of it: what is there
    was not given.
    """
    inside = os.path.realpath(folder)
    for path in (folder / name for name in names):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
            raise InputError(
                f"{path}: is a link that leads out of {folder}; put there what it leads to"
            )


def refuse_replacing(path: Path, overwrite: bool, *read: Path, **words: str) -> None:
    """Refuse a target that is no file, is one of the files that are read, or is there and must not
    be replaced.
    """
    if not os.path.lexists(path):
        return
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise InputError(f"{path}: {kind}, expected the name of a file")
    if any(source.exists() and source.samefile(path) for source in read):
        raise InputError(f"{path}: is an input", OTHER_OUT, **words)
    if not overwrite:
        raise InputError(f"{path}: already exists", OVERWRITE, **words)


def open_file(path: Path) -> IO[bytes]:
    """An ordinary file, open for reading; neither opening nor reading it waits for anybody; else an
    OSError.

    A pipe waits for a writer. Files that the kernel makes up as they are read, such as /proc/kmsg,
    pass for ordinary ones and may wait for ever; but they declare no bytes, and of such a file none
    are read.
    """
    handle = os.open(path, os.O_RDONLY | NO_WAITING)
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return open(handle, "rb")
    os.close(handle)
    if stat.S_ISREG(status.st_mode):
        return io.BytesIO()
    raise OSError(errno.EINVAL, "not an ordinary file", str(path))


def read_file(path: Path, max_bytes: int) -> bytes:
    """The content of an ordinary file (reading a device need not end) of at most `max_bytes` bytes;
    else an InputError.
    """
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path}: {'a folder' if path.is_dir() else 'not an ordinary file'}, expected a file"
        )
    with open_file(path) as file, at(path):
        return read_at_most(file, path.stat().st_size, max_bytes)


def file_digest(path: Path) -> str:
    """SHA-256, hexadecimal, of an ordinary file, of which little is held at a time; else an
    InputError.
    """
    digest = hashlib.sha256()
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not an ordinary file, expected a file")
    try:
        with open_file(path) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()


def read_at_most(file: IO[bytes], declared: int, max_bytes: int) -> bytes:
    """All of an open file that declares its size, at most `max_bytes` bytes; else an InputError."""
    if declared > max_bytes:
        raise InputError(f"a file of {readable(declared)}, expected at most {readable(max_bytes)}")
    data = file.read(declared + 1)
    if len(data) != declared:
        raise InputError(f"not the {declared:,} bytes that it declares; get an intact copy")
    return data


ROOT_USER = 0


def is_private(path: str | os.PathLike[str]) -> bool:
    """True if only this user and root can write `path`, which is there, or replace it or a folder
    above it.

    Everything from the root folder down must belong to one of the two, and give nobody else the
    right to write. A folder above may let others add what is theirs, as /tmp does (its sticky bit).
    A group of that user alone is nobody else. Access control lists are not looked at. On Windows
    every path counts as private.
    """
    if sys.platform == "win32":
        return True
    place = Path(os.path.realpath(path))
    return _is_ours(os.lstat(place), may_be_shared=False) and all(
        _is_ours(os.lstat(above), may_be_shared=True) for above in place.parents
    )


def _is_ours(state: os.stat_result, may_be_shared: bool) -> bool:
    if state.st_uid not in (ROOT_USER, os.geteuid()):
        return False
    others_write = state.st_mode & stat.S_IWOTH or (
        state.st_mode & stat.S_IWGRP and not _is_own_group(state.st_gid)
    )
    return not others_write or (may_be_shared and bool(state.st_mode & stat.S_ISVTX))


def _is_own_group(number: int) -> bool:
    """True if a group has the name of this user and no other member, as most distributions make one
    for every user.
    """
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(number), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
