"""The data sets, by name or by what lies at a path.

A set with a name is a module of this folder whose dictionary `NAMED` lists it; see :class:`.base.NamedSet`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from spikesam.pipeline.images.datasets.archive import Archive, FolderArchive, ZipArchive
from spikesam.pipeline.images.datasets.base import Dataset, Item, NamedSet, did_you_mean
from spikesam.pipeline.images.datasets.folder import ClassFolders, LooseFiles, class_folders, sample_files
from spikesam.pipeline.images.datasets.tiny_imagenet import TinyImageNet, find_root
from spikesam.recordings.errors import InputError
from spikesam.recordings.files import similar_file

__all__ = ["Dataset", "Item", "open_dataset"]

NAMED: dict[str, NamedSet] = {}
for _name in sorted(module.name for module in iter_modules(__path__)):
    NAMED |= getattr(import_module(f"{__name__}.{_name}"), "NAMED", {})
GENERATED = tuple(name for name, each in NAMED.items() if each.generated)
SPLITS = ("train", "selection", "val")
FILES = "a Tiny-ImageNet folder or zip, a folder of class folders, or files of images or events"
EXPECTED = f"a name ({', '.join(NAMED)}), {FILES}"


def open_dataset(
    source: str | Sequence[str],
    split: str,
    classes: Sequence[str] | None = None,
    *,
    size: int | None = None,
    download: bool = False,
) -> Dataset:
    """Open a data set by its name or path.

    Parameters
    ----------
    source : a key of :data:`NAMED`: "cluttered-digits", "contrast-digits", "saccade-digits", "cifar10",
        "fashion-mnist"; the path of a Tiny-ImageNet folder or zip, of a folder of class folders, or of a folder of
        images or events; or the paths of such files
    split : "train" or "val"; the three sets of digits also have "selection", whose handwriting is in neither
    classes : those to keep, in the order that shall define the labels; items of others are skipped and counted.
        None keeps all
    size : number of items; for the three sets of digits alone
    download : fetch data of torchvision that is not there

    Raises
    ------
    InputError : if `source` is none of these, the split is not there, or nothing of `classes` is left
    """
    if not isinstance(source, str) and len(source) == 1:
        source = source[0]
    if split not in SPLITS or (split == "selection" and source not in GENERATED):
        raise InputError(f"{source}: got split {split!r}, expected 'train' or 'val'")
    if size is not None and source not in GENERATED:
        raise InputError(f"{source}: size belongs to {', '.join(GENERATED)}; leave it out")
    if isinstance(source, str) and source in NAMED:
        return NAMED[source].open(split, classes, size, download)
    paths = [Path(source)] if isinstance(source, str) else [Path(path) for path in source]
    if not paths:
        raise InputError(f"data: got nothing, expected {EXPECTED}")
    if len(paths) > 1:
        return LooseFiles(paths, classes)
    return _open_path(paths[0], split, classes)


def _open_path(path: Path, split: str, classes: Sequence[str] | None) -> Dataset:
    if not path.exists():
        hint = did_you_mean(str(path), list(NAMED)) or similar_file(path)
        raise InputError(f"{path}: no such data set or file; expected {EXPECTED}{hint}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read (permission denied)")
    if path.is_file():
        if not zipfile.is_zipfile(path) and path.suffix.lower() != ".zip":
            return LooseFiles([path], classes)
        return TinyImageNet(ZipArchive(path), split, classes)
    archive: Archive = FolderArchive(path)
    if find_root(archive) is not None:
        return TinyImageNet(archive, split, classes)
    if class_folders(path) or any(class_folders(path / part) for part in ("train", "val")):
        return ClassFolders(path, split, classes)
    if files := sample_files(path):
        return LooseFiles(files, classes)
    raise InputError(f"{path}: a folder without images or events; expected {EXPECTED}")
