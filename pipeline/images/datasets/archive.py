"""A folder or a zip of it, read through the same three methods."""

from __future__ import annotations

import os
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol

from recordings.errors import InputError


class Archive(Protocol):
    """A read-only tree of files; names are relative, with "/" between parts. Picklable."""

    path: Path

    def children(self, folder: str) -> list[str]:
        """Names of what lies directly in `folder` ("" is the root), sorted; [] if there is no such folder."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file; InputError if it is missing or damaged."""
        ...


class Folder:
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def children(self, folder: str) -> list[str]:
        """See :class:`Archive`."""
        path = self.path / folder
        return sorted(os.listdir(path)) if path.is_dir() else []

    def read(self, name: str) -> bytes:
        """See :class:`Archive`."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.path / name}: cannot be read ({error.strerror}); the data set is incomplete"
            ) from None


class Zip:
    """A zip file, whose handle each process opens for itself: a handle inherited by fork would share its position."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process: int | None = None
        self._file: zipfile.ZipFile | None = None
        tree: dict[str, set[str]] = defaultdict(set)
        for member in self._open().namelist():
            folder = ""
            for part in member.rstrip("/").split("/"):
                tree[folder].add(part)
                folder = f"{folder}/{part}" if folder else part
        self._children = {folder: sorted(names) for folder, names in tree.items()}

    def children(self, folder: str) -> list[str]:
        """See :class:`Archive`."""
        return self._children.get(folder.strip("/"), [])

    def read(self, name: str) -> bytes:
        """See :class:`Archive`."""
        try:
            return self._open().read(name)
        except KeyError:
            raise InputError(f"{self.path}: {name} is missing; the data set is incomplete") from None
        except Exception as error:  # a damaged member fails in zipfile or in any of its decompressors
            raise InputError(f"{self.path}: {name} is damaged ({error}); get an intact copy") from None

    def _open(self) -> zipfile.ZipFile:
        if self._file is None or self._process != os.getpid():
            try:
                self._file = zipfile.ZipFile(self.path)
            except OSError as error:
                raise InputError(f"{self.path}: cannot be read ({error.strerror})") from None
            except zipfile.BadZipFile as error:
                raise InputError(f"{self.path}: damaged zip file ({error}); get an intact copy") from None
            self._process = os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_process": None}
