"""Detection of HDF5, by a file's name and first bytes; nothing is opened as HDF5, and h5py is not imported."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".h5", ".hdf5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def has_hdf5_name(path: Path) -> bool:
    """True if a file has a name of HDF5."""
    return path.suffix.lower() in SUFFIXES


def has_hdf5_signature(path: Path) -> bool:
    """True if a file begins as HDF5 does; False if it cannot be read."""
    try:
        if not path.is_file() or not path.stat().st_size:  # reading a pipe, or what the kernel makes up, may not end
            return False
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except (OSError, ValueError):
        return False
