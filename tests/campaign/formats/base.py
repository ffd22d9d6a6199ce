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
    """A format."""

    originals: Callable[[Path], list[Path]]  # makes good files in a folder
    read: Callable[[Path], Content]  # everything that the program reads of such a file
    spoil: Callable[
        [Random, Path, bytes], tuple[str, bool]
    ]  # with another's bytes; what was done, if it is meant to be valid
    checksummed: bool = True  # the format has digests, so that a difference must be noticed


def sha(*parts: Any) -> str:
    """Identity of arrays and of whatever has a repr."""
    digest = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        digest.update(f"{part.dtype}{part.shape}".encode() if array else repr(part).encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(part).tobytes() if array else b"")
    return digest.hexdigest()[:16]
