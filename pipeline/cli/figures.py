"""The folder that a command draws into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recordings.errors import InputError
from recordings.lock import out_lock


@contextmanager
def figures_folder(folder: Path | None, overwrite: bool) -> Iterator[None]:
    """Hold the folder for pictures, if any are wanted, from before the hours of work until they are drawn.

    Raises
    ------
    InputError : at once, if it exists without `overwrite`, cannot be written, or another process holds it
    """
    if folder is None:
        yield
        return
    if file := next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None):
        raise InputError(f"{folder}: {file} is a file", "figures-folder")
    if folder.exists() and not overwrite:
        raise InputError(f"{folder}: already exists", "add-figures")
    with out_lock(folder, None if overwrite else "add-figures"):
        yield
