"""What the campaign must know of a format of files."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.campaign.damage import damage

Content = dict[str, str]  # what was read, part by part, as texts or digests


@dataclass(frozen=True)
class Format:
    """A format."""

    originals: Callable[[Path], list[Path]]  # makes good files in a folder
    read: Callable[[Path], Content]  # everything that the program reads of such a file
    edit: Callable[[Random, Path], tuple[str, bool]] | None = (
        None  # what was done, if it is meant to be valid
    )
    damaged: float = 0.5  # share of files that are damaged, not edited
    checksummed: bool = True  # the format has digests, so that a difference must be noticed

    def spoil(self, random: Random, path: Path, other: bytes) -> tuple[str, bool]:
        """Edit a file, or damage it with another's bytes."""
        if self.edit is not None and random.random() >= self.damaged:
            return self.edit(random, path)
        data, done = damage(random, path.read_bytes(), other)
        path.write_bytes(data)
        return done, False


def sha(*parts: Any) -> str:
    """Identity of arrays and of whatever has a repr."""
    digest = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        digest.update(
            f"{part.dtype}{part.shape}".encode()
            if array
            else repr(part).encode("utf-8", "surrogatepass")
        )
        digest.update(np.ascontiguousarray(part).tobytes() if array else b"")
    return digest.hexdigest()[:16]


def compared(
    read: Callable[[Path], Content],
    checksummed: bool,
    path: Path,
    good: Content,
    valid: bool,
    known: list[Content],
) -> str:
    """What is read must be what was written, unless the format has no digests, or these were made
    anew.
    """
    found = read(path)
    differ = [key for key in sorted(found.keys() | good.keys()) if found.get(key) != good.get(key)]
    # Two good files of equal beginnings, spliced there, are one of them.
    fine = not differ or valid or not checksummed or found in known
    assert fine, (
        f"read without complaint, but {', '.join(differ)} differ: {found.get(differ[0])!r:.80}"
    )
    return "another valid" if differ else "identical"
