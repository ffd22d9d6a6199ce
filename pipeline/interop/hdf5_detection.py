"""Whether a file could be a recording, from its name and its first bytes: nothing is opened as HDF5, or imported."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".h5", ".hdf5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def has_hdf5_name(path: Path) -> bool:
    """Whether a file is called like HDF5."""
    return path.suffix.lower() in SUFFIXES


def has_hdf5_signature(path: Path) -> bool:
    """Whether a file begins like HDF5; not so if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except (OSError, ValueError):
        return False
