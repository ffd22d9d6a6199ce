"""Temporary files: of names that nobody else can have taken, and removed when a killed process left them behind."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

PATTERN = re.compile(r"\.spikesam-[0-9a-f]{16}\.tmp")


def new_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """Make and open an empty file, locked for as long as it is open.

    It is opened exclusively: no file that exists is taken, no link followed. Its permissions are those of any new file.

    Raises
    ------
    OSError : if no file can be made there
    """
    while True:
        path = folder / f".spikesam-{secrets.token_hex(8)}.tmp"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        if _locked(handle) and os.path.lexists(path):
            return path, open(handle, "w+b")
        os.close(handle)  # another process took it for a leftover before it was locked


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that no process holds: a kill left them. Files of other names are never touched."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if PATTERN.fullmatch(entry.name):
                _remove_unless_held(entry.path)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks, on which nothing counts as a leftover either
    return True


def _remove_unless_held(path: str) -> None:
    with suppress(OSError):  # held, gone, a link, or another user's
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(handle)
