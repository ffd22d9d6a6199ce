"""What is remembered of a file that was written: its size, and the SHA-256 of its bytes.

A file that still has them is what was written, so it needs no help of :mod:`recordings.inspection` to be opened.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class Seal(NamedTuple):
    """Of one file.

    Parameters
    ----------
    size : bytes
    sha256 : hexadecimal
    """

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
