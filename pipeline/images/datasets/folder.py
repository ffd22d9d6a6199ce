"""Your own images or event recordings: a folder with one folder per class, or files without labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from spikesam.pipeline.images.datasets.base import Choice, Dataset, Item, select_classes
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.events.files import SUFFIXES, read_events
from spikesam.pipeline.images.preprocessing import FORMATS, read_image
from spikesam.recordings.errors import InputError
from spikesam.recordings.files import file_digest, similar_file
from spikesam.recordings.text import LONGEST_NAME, printable

SPLITS = ("train", "val")


class ClassFolders(Dataset):
    """Images or events in class folders, `<class>/*.jpg`, `<class>/*.bin`, either at once or below `train/` and `val/`.

    Parameters
    ----------
    path : the folder; without `train/` and `val/` in it, every split is the whole
    split : "train" or "val"
    classes : folder names to keep, which also order the labels; None keeps all, sorted

    Raises
    ------
    InputError : if the split is not there, or none of the classes is
    """

    def __init__(self, path: Path, split: str, classes: Sequence[str] | None = None) -> None:
        parts = [part for part in SPLITS if class_folders(path / part)]
        if parts and split not in parts:
            raise InputError(
                f"{path}: has no {split} part; expected class folders of images or events in {path / split}"
            )
        base = path / split if parts else path
        files = [file for folder in class_folders(base) for file in sample_files(folder)]
        item_classes = [file.parent.name for file in files]
        choice = select_classes(str(base), item_classes, list(dict.fromkeys(item_classes)), classes)
        super().__init__(_identity(f"{path.resolve().name}/{split}", files, base), choice)
        self.path = base
        self._files = [files[i] for i in choice.indices]

    def __getitem__(self, position: int) -> Item:
        return self._item(position, read_sample(self._files[position]))

    def content(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return file_digest(self._files[position])

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        file = self._files[position]
        return f"{file.parent.name}/{file.name}"


class LooseFiles(Dataset):
    """Files of images or events in the order given, without labels.

    Parameters
    ----------
    files : at least one
    classes : what a network may answer; the files are of unknown class, so none is skipped
    """

    def __init__(self, files: Sequence[Path], classes: Sequence[str] | None = None) -> None:
        for file in files:
            if not file.is_file():
                found = "a folder among several files" if file.is_dir() else "no such file"
                raise InputError(f"{file}: {found}; give one folder, or files of images or events{similar_file(file)}")
        name = _identity("events" if holds_events(files[0]) else "images", files, None)
        super().__init__(name, Choice(tuple(classes or ()), range(len(files)), (None,) * len(files)))
        self._files = list(files)

    def __getitem__(self, position: int) -> Item:
        return self._item(position, read_sample(self._files[position]))

    def content(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return file_digest(self._files[position])

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return self._files[position].name


def class_folders(path: Path) -> list[Path]:
    """The folders directly in `path` that hold images or events, sorted by name."""
    if not path.is_dir():
        return []
    return [folder for folder in sorted(path.iterdir()) if folder.is_dir() and sample_files(folder)]


def read_sample(file: Path) -> Image.Image | Events:
    """An image, or where the extension says so a recording of events."""
    return read_events(file) if holds_events(file) else read_image(file)


def holds_events(file: Path) -> bool:
    """Whether a file is a recording of events, as its extension says."""
    return file.suffix.lower() in SUFFIXES


def sample_files(folder: Path) -> list[Path]:
    """The images and events directly in `folder`, as extensions tell, sorted by name; hidden files are left out."""
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _extensions() and not file.name.startswith(".") and file.is_file()
    ]


@cache
def _extensions() -> frozenset[str]:
    """Those of images and of events."""
    return SUFFIXES | {end for end, kind in Image.registered_extensions().items() if kind in FORMATS}


def _identity(name: str, files: Sequence[Path], base: Path | None) -> str:
    """`name` and a digest of the files' names and sizes: other files make another data set."""
    digest = hashlib.sha256()
    for file in files:
        relative = file.relative_to(base).as_posix() if base else file.name
        digest.update(f"{relative}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
    return f"{printable(name, LONGEST_NAME)}#{digest.hexdigest()[:8]}"
