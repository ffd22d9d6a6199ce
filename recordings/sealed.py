"""Files that still have the size and the SHA-256 that are remembered of them: they hold what was written.

So nothing in them has to be checked again, and no help of :mod:`spikesam.recordings.inspection` is needed to open them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class Seal(NamedTuple):
    """What is remembered of one file: its size in bytes, and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


def seal(content: bytes | memoryview) -> Seal:
    """The seal of a file with this content."""
    return Seal(len(content), hashlib.sha256(content).hexdigest())


def sealed_content(path: Path, expected: Seal) -> bytes | None:
    """The content of a file that has this seal; None if it has another, or there is no such file."""
    try:
        if path.stat().st_size != expected.size:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return content if seal(content) == expected else None
