"""Options that no file of configuration has: their types and lines of help, and what their values stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field

from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import out_lock

ConfigFile = Annotated[Path | None, Field(description="TOML file with the settings, or the name of a bundled one")]
Figures = Annotated[Path | None, Field(description="new folder for pictures of the first samples (PNG)")]
Out = Annotated[Path, Field(description="folder for the results")]
Overwrite = Annotated[bool, Field(description="replace what is there")]


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
        raise InputError(f"{folder}: {file} is a file, expected the name of a folder for --figures")
    if folder.exists() and not overwrite:
        raise InputError(f"{folder}: already exists; choose another --figures, or add to it with --overwrite")
    with out_lock(folder):
        yield


def part_of(text: str, ranges: int) -> range:
    """The ranges of the K-th of N processes, "K/N": consecutive ones, as many as the others' or one more.

    Parameters
    ----------
    text : such as "1/8"; the first is 1
    ranges : how many the run has
    """
    parts = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
        raise InputError(f"--range: got {text!r}, expected K/N, the K-th of N processes, such as 1/8")
    number, count = int(parts[1]), int(parts[2])
    return range((number - 1) * ranges // count, number * ranges // count)
