"""What the campaign must know of a format of files."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Content = dict[str, str]  # what was read, part by part, as texts or digests


@dataclass(frozen=True)
class Format:
    """A format.

    Parameters
    ----------
    originals : makes good files in a folder
    read : reads everything that the program reads of such a file
    spoil : damages a copy of a good file, given the bytes of another one; says what was done, and whether the result is
        meant to be another valid file
    checksummed : whether the format has digests, so that a difference must be noticed
    """

    originals: Callable[[Path], list[Path]]
    read: Callable[[Path], Content]
    spoil: Callable[[Random, Path, bytes], tuple[str, bool]]
    checksummed: bool = True


def sha(*parts: Any) -> str:
    """Identity of arrays and of whatever has a repr."""
    digest = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        digest.update(f"{part.dtype}{part.shape}".encode() if array else repr(part).encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(part).tobytes() if array else b"")
    return digest.hexdigest()[:16]
