"""Files that appear whole or not at all, and a disk that may be full."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from .errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; it becomes `path`, safely on disk, if the block succeeds, else vanishes."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file, or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def unused(path: Path) -> Path:
    """The path itself, or with -2, -3, … behind its name if it exists."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not candidate.exists())


def check_free(directory: Path, needed: int, advice: str) -> None:
    """Refuse to start what will not fit."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise InputError(f"{directory}: {readable(free)} free, expected about {readable(needed)}; {advice}")


def reason(error: Exception) -> str:
    """Why writing failed, in the system's words; HDF5 hides the error number in a longer text."""
    number = getattr(error, "errno", None) or next(iter(re.findall(r"errno = (\d+)", str(error))), None)
    return os.strerror(int(number)) if number else " ".join(str(error).split())[:200]


def readable(size: float) -> str:
    """A number of bytes as people write it: "1.5 GB"."""
    if size < 1000:
        return f"{size:.0f} bytes"
    power = min(int(math.log10(size) / 3), 4)
    return f"{size / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
