"""Whether nobody but this user (or root) can put something in a place."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

ROOT_USER = 0


def is_private(path: str | os.PathLike[str]) -> bool:
    """Whether only this user and root can write `path`, or replace it or a folder above it.

    Everything from the root folder down must belong to one of the two, and give nobody else the right to write. A
    folder above may let others add what is theirs, as /tmp does (its sticky bit). A group of that user alone is nobody
    else. Access control lists are not looked at. On Windows every path counts as private.

    Raises
    ------
    OSError : if `path` does not exist
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
    others_write = state.st_mode & stat.S_IWOTH or (state.st_mode & stat.S_IWGRP and not _is_own_group(state.st_gid))
    return not others_write or (may_be_shared and bool(state.st_mode & stat.S_ISVTX))


def _is_own_group(number: int) -> bool:
    """Whether a group has the name of this user and no other member, as most distributions make one for every user."""
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(number), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
