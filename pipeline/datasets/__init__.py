"""The data sets, by name or by what lies at a path."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from recordings.errors import InputError

from .archive import Archive, Folder, Zip
from .base import Dataset, Item, Object
from .cluttered_digits import ClutteredDigits
from .tiny_imagenet import TinyImageNet

__all__ = ["Dataset", "Item", "Object", "open_dataset"]


def open_dataset(
    source: str | Sequence[str],
    split: str,
    classes: Sequence[str] | None = None,
    *,
    size: int | None = None,
    digits: int = 1,
) -> Dataset:
    """Open the data set at `source`."""
    if source == "cluttered-digits":
        return ClutteredDigits(split, classes, size, digits)
    path = Path(str(source))
    if not path.exists():
        raise InputError(f"{source}: no such data set")
    archive: Archive = Zip(path) if zipfile.is_zipfile(path) else Folder(path)
    return TinyImageNet(archive, split, classes)
