"""The data sets, by name or by what lies at a path.

A set with a name is a module of this folder whose dictionary `NAMED` lists it, see
:class:`.base.NamedSet`, or an entry point `spikesam.datasets`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from spikesam.common.errors import InputError, did_you_mean
from spikesam.common.files import similar_file
from spikesam.common.registry import Registry
from spikesam.pipeline.images.datasets.archive import FolderArchive, ZipArchive
from spikesam.pipeline.images.datasets.base import Dataset, Item, NamedSet
from spikesam.pipeline.images.datasets.folder import files_in, files_in_classes, loose_files
from spikesam.pipeline.images.datasets.heidelberg import HeidelbergFile
from spikesam.pipeline.images.datasets.tiny_imagenet import TinyImageNet, find_root
from spikesam.recordings.files import has_hdf5_name

__all__ = ["Dataset", "Item", "open_dataset"]

_FILES = [
    import_module(f"{__name__}.{name}")
    for name in sorted(module.name for module in iter_modules(__path__))
]
NAMED: Registry[NamedSet] = Registry(
    "datasets",
    "a NamedSet",
    lambda thing: isinstance(thing, NamedSet),
    {name: named_set for file in _FILES for name, named_set in getattr(file, "NAMED", {}).items()},
)
FILES = (
    "a Tiny-ImageNet folder or zip, a folder of class folders, files of images or events, or "
    "SHD's or SSC's .h5"
)


def is_generated(source: str | Sequence[str]) -> bool:
    """True of the name of a data set whose items are made when they are read."""
    return isinstance(source, str) and source in NAMED and NAMED[source].generated


def _expected() -> str:
    return f"a name ({', '.join(NAMED)}), {FILES}"


def open_dataset(
    source: str | Sequence[str],
    split: str,
    classes: Sequence[str] | None = None,
    *,
    size: int | None = None,
    download: bool = False,
) -> Dataset:
    """Open a data set by a key of :data:`NAMED` or by paths of files; `classes` are in the order of
    the labels.
    """
    if not isinstance(source, str) and len(source) == 1:
        source = source[0]
    named = NAMED.get(source) if isinstance(source, str) else None
    generated = is_generated(source)
    if split not in ("train", "val") and not (split == "selection" and generated):
        raise InputError(f"{source}: got split {split!r}, expected 'train' or 'val'")
    if size is not None and not generated:
        raise InputError(
            f"{source}: size belongs to {', '.join(filter(is_generated, NAMED))}; leave it out"
        )
    if named is not None:
        dataset = named.open(split, size if generated else download)
    elif isinstance(source, str):
        dataset = _at_path(Path(source), split)
    elif not source:
        raise InputError(f"data: got nothing, expected {_expected()}")
    else:
        dataset = loose_files([Path(path) for path in source])
    return dataset if classes is None else dataset.of_classes(classes)


def _at_path(path: Path, split: str) -> Dataset:
    if not path.exists():
        hint = did_you_mean(str(path), list(NAMED)) or similar_file(path)
        raise InputError(f"{path}: no such data set or file; expected {_expected()}{hint}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read (permission denied)")
    if path.is_file():
        if zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
            return TinyImageNet(ZipArchive(path), split)
        return HeidelbergFile(path) if has_hdf5_name(path) else loose_files([path])
    if find_root(archive := FolderArchive(path)) is not None:
        return TinyImageNet(archive, split)
    if (dataset := files_in_classes(path, split)) is not None:
        return dataset
    if files := files_in(path):
        return loose_files(files)
    raise InputError(f"{path}: a folder without images or events; expected {_expected()}")
