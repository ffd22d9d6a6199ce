"""A folder of files that somebody wants to be imported."""

from __future__ import annotations

from pathlib import Path

LIBRARIES = "h5py json numpy socket pickle subprocess runpy select signal ctypes struct multiprocessing encodings"


def hostile_folder(parent: Path) -> Path:
    """A folder whose modules leave the file "mark" beside it if they are imported."""
    folder = parent / "downloads"
    for name in [f"{name}.py" for name in LIBRARIES.split()] + ["recordings/__init__.py", "backends/__init__.py"]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"import os; os.close(os.open({str(parent / 'mark')!r}, os.O_CREAT | os.O_WRONLY))\n")
    return folder
