"""The data sets, by name or by what lies at a path."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from recordings.errors import InputError

from .archive import Archive, Folder, Zip
from .base import Dataset, Entry, Item, Object, did_you_mean
from .cluttered_digits import CONTRAST, ClutteredDigits
from .folder import ClassFolders, LooseFiles, class_folders, sample_files
from .handwriting import SHARES
from .saccade_digits import NAME as SACCADE_DIGITS
from .saccade_digits import SaccadeDigits
from .tiny_imagenet import TinyImageNet, find_root
from .torchvision_sets import ROOT, TorchvisionSet

__all__ = ["Dataset", "Entry", "Item", "Object", "open_dataset"]

CLUTTERED_DIGITS = "cluttered-digits"
HANDWRITING = (CLUTTERED_DIGITS, CONTRAST, SACCADE_DIGITS)  # made on the fly: any size, a "selection" part
Open = Callable[[str, Sequence[str] | None, int | None, Path, bool], Dataset]  # split, classes, size, root, download
NAMED: dict[str, Open] = {
    CLUTTERED_DIGITS: lambda split, classes, size, root, download: ClutteredDigits(split, classes, size),
    CONTRAST: lambda split, classes, size, root, download: ClutteredDigits(split, classes, size, contrast=True),
    SACCADE_DIGITS: lambda split, classes, size, root, download: SaccadeDigits(split, classes, size),
    "cifar10": lambda split, classes, size, *where: TorchvisionSet("cifar10", split, classes, *where),
    "fashion-mnist": lambda split, classes, size, *where: TorchvisionSet("fashion-mnist", split, classes, *where),
}
FILES = "a Tiny-ImageNet folder or zip, a folder of class folders, or files of images or events"
EXPECTED = f"a name ({', '.join(NAMED)}), {FILES}"


def open_dataset(
    source: str | Sequence[str],
    split: str,
    classes: Sequence[str] | None = None,
    *,
    size: int | None = None,
    digits: int = 1,
    root: str | Path = ROOT,
    download: bool = False,
) -> Dataset:
    """Open a data set by its name, or by the path of whatever it is.

    Parameters
    ----------
    source : "cluttered-digits", "contrast-digits", "saccade-digits", "cifar10", "fashion-mnist"; the path of a
        Tiny-ImageNet folder or zip, of a folder of class folders, or of a folder of images or events; or the paths of
        such files
    split : "train" or "val"; the three sets of digits also have "selection", whose handwriting is in neither
    classes : those to keep, in the order that shall define the labels; items of others are skipped and counted.
        None keeps all
    size : how many; of the sets of digits
    digits : in each scene; of cluttered-digits
    root, download : where torchvision's data lies, and whether to fetch it if it does not

    Raises
    ------
    InputError : if `source` is nothing of these, the split is not there, or nothing of `classes` is left
    """
    if not isinstance(source, str) and len(source) == 1:
        source = source[0]
    if split not in SHARES or (split == "selection" and source not in HANDWRITING):
        raise InputError(f"{source}: got split {split!r}, expected 'train' or 'val'")
    if size is not None and source not in HANDWRITING:
        raise InputError(f"{source}: size belongs to {', '.join(HANDWRITING)}; leave it out")
    if digits != 1:
        if source != CLUTTERED_DIGITS:
            raise InputError(f"{source}: digits belong to {CLUTTERED_DIGITS}; leave them out")
        return ClutteredDigits(split, classes, size, digits)
    if isinstance(source, str) and source in NAMED:
        return NAMED[source](split, classes, size, Path(root), download)
    paths = [Path(source)] if isinstance(source, str) else [Path(path) for path in source]
    if not paths:
        raise InputError(f"data: got nothing, expected {EXPECTED}")
    if len(paths) > 1:
        return LooseFiles(paths, classes)
    return _open_path(paths[0], split, classes)


def _open_path(path: Path, split: str, classes: Sequence[str] | None) -> Dataset:
    if not path.exists():
        raise InputError(f"{path}: no such data set or file; expected {EXPECTED}{did_you_mean(str(path), list(NAMED))}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read (permission denied)")
    if path.is_file():
        if not zipfile.is_zipfile(path) and path.suffix.lower() != ".zip":
            return LooseFiles([path], classes)
        return TinyImageNet(Zip(path), split, classes)
    archive: Archive = Folder(path)
    if find_root(archive) is not None:
        return TinyImageNet(archive, split, classes)
    if class_folders(path) or any(class_folders(path / part) for part in ("train", "val")):
        return ClassFolders(path, split, classes)
    if files := sample_files(path):
        return LooseFiles(files, classes)
    raise InputError(f"{path}: a folder without images or events; expected {EXPECTED}")
