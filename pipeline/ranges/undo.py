"""A run that is refused before anything is finished leaves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recordings.errors import InputError
from recordings.lock import holds_files


@contextmanager
def undone_if_refused(folder: Path) -> Iterator[None]:
    """Leave nothing in an empty folder if what was to come there is refused before a sample is finished."""
    empty = not (folder.is_dir() and holds_files(folder))
    try:
        yield
    except InputError:
        parts = [folder / name for name in ("raster.parts", "maps.parts")]
        if empty and not any(any(part.glob("*.h5")) for part in parts) and not (folder / "raster.h5").exists():
            for part in parts:
                shutil.rmtree(part, ignore_errors=True)
            for name in ("network.safetensors", "config.toml"):
                (folder / name).unlink(missing_ok=True)
        raise
