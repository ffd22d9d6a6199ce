"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recordings.disk import sync
from recordings.errors import InputError


@contextmanager
def replacing_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it becomes `path`, safely on disk, if the block succeeds, else vanishes.

    A folder that was there is removed last, once the new one has its place. Whoever calls this holds
    :func:`recordings.lock.file_lock` of `path`.

    Raises
    ------
    InputError : if `path` exists at the end and may not be replaced
    """
    temporary, old = (path.with_name(f".{path.name}.{end}") for end in ("tmp", "old"))
    for leftover in (temporary, old):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                sync(Path(folder, name))
            sync(Path(folder))
        if path.exists():
            if not overwrite:
                raise InputError(f"{path}: already exists, and was not replaced; choose another name")
            path.rename(old)
        temporary.rename(path)
        sync(path.parent)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
