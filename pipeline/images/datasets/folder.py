"""Your own images or event recordings: a folder with one folder per class, or files without
labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from spikesam.common.errors import InputError
from spikesam.common.files import file_digest, similar_file
from spikesam.common.text import LONGEST_NAME, printable, shell_command
from spikesam.pipeline.images.datasets.base import Dataset, Item
from spikesam.pipeline.images.events.files import SUFFIXES, read_events
from spikesam.pipeline.images.preprocessing import FORMATS, read_image


class FileSet(Dataset):
    """Files of images or events in the order given, labelled if in class folders of `base`; a
    digest is in the name.
    """

    def __init__(self, name: str, files: Sequence[Path], base: Path | None = None) -> None:
        self._files, digest = files, hashlib.sha256()
        self._names = [file.relative_to(base).as_posix() if base else file.name for file in files]
        for file, called in zip(files, self._names, strict=True):
            digest.update(f"{called}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        folders = [file.parent.name for file in files]
        numbers = (
            {name: number for number, name in enumerate(dict.fromkeys(folders))} if base else {}
        )
        super().__init__(
            f"{printable(name, LONGEST_NAME)}#{digest.hexdigest()[:8]}",
            list(numbers),
            [numbers.get(name) for name in folders],
            files=f"{shell_command(base)}/*/*" if base else "",
        )

    def __getitem__(self, position: int) -> Item:
        file = self._files[position]
        return self._item(position, read_events(file) if _holds_events(file) else read_image(file))

    def content(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return file_digest(self._files[position])

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return self._names[position]


def loose_files(files: Sequence[Path]) -> FileSet:
    """Files of images or events, at least one, without labels; refuses what is no file."""
    for file in files:
        if not file.is_file():
            reason = "a folder among several files" if file.is_dir() else "no such file"
            raise InputError(
                f"{file}: {reason}; give one folder, or files of images or "
                f"events{similar_file(file)}"
            )
    return FileSet("events" if _holds_events(files[0]) else "images", files)


def files_in_classes(path: Path, split: str) -> FileSet | None:
    """Files `<class>/*.jpg`, `<class>/*.bin` below `train/` and `val/`, or directly in a folder;
    None without any.
    """
    parts = [part for part in ("train", "val") if class_folders(path / part)]
    if parts and split not in parts:
        raise InputError(
            f"{path}: has no {split} part; expected class folders of images or events in "
            f"{path / split}"
        )
    base = path / split if parts else path
    files = [file for folder in class_folders(base) for file in files_in(folder)]
    return FileSet(f"{path.resolve().name}/{split}", files, base) if files else None


def class_folders(path: Path) -> list[Path]:
    """The folders directly in `path` that hold images or events, sorted by name."""
    if not path.is_dir():
        return []
    return [folder for folder in sorted(path.iterdir()) if folder.is_dir() and files_in(folder)]


def files_in(folder: Path) -> list[Path]:
    """The images and events directly in a folder, as extensions tell, sorted by name; hidden files
    are left out.
    """
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _extensions() and not file.name.startswith(".") and file.is_file()
    ]


@cache
def _extensions() -> frozenset[str]:
    """Those of images and of events."""
    return SUFFIXES | {
        end for end, kind in Image.registered_extensions().items() if kind in FORMATS
    }


def _holds_events(file: Path) -> bool:
    """As its extension says."""
    return file.suffix.lower() in SUFFIXES
