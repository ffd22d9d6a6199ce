"""A folder or a zip of it, read through the same three methods."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
from pathlib import Path
from typing import Any

from spikesam.common.errors import InputError, at
from spikesam.common.files import read_at_most, read_file
from spikesam.pipeline.images.preprocessing import LARGEST_IMAGE

DEEPEST = 32  # folders inside each other; a name of 64 kB could say 32,000
MOST_FOLDERS = 1 << 16  # three times those of ImageNet's 21,841 classes
LARGEST_LISTING = (
    1 << 25
)  # bytes of a zip's list of members, twice that of Tiny-ImageNet with its 120,000 files


class FolderArchive:
    """A folder on disk, read-only and picklable; names are relative, with "/" between parts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def children(self, folder: str) -> list[str]:
        """Names of what lies directly in `folder` ("" is the root), sorted; [] if there is no such
        folder.
        """
        path = self.path / folder
        return sorted(os.listdir(path)) if path.is_dir() else []

    def read(self, name: str, max_bytes: int = LARGEST_IMAGE) -> bytes:
        """The content of a file; an InputError if it is missing, damaged, or more than `max_bytes`
        bytes.
        """
        try:
            return read_file(self.path / name, max_bytes)
        except OSError as error:
            raise InputError(
                f"{self.path / name}: cannot be read ({error.strerror}); the data set is incomplete"
            ) from None


class ZipArchive:
    """A zip file, read by one thread at a time; by another handle after a fork, since a shared one
    has one position.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process: int | None = None
        self._file: zipfile.ZipFile | None = None
        self._reading = threading.Lock()
        self._names: dict[str, set[str]] = {}  # folder -> of what lies directly in it
        for member in self._open().namelist():
            self._add(member.rstrip("/"))

    def _add(self, name: str) -> None:
        """Note a member, and the folders that it lies in unless they are known."""
        if name.count("/") >= DEEPEST:
            raise InputError(
                f"{self.path}: {name.count('/') + 1:,} folders inside each other, expected at most "
                f"{DEEPEST}"
            )
        while name:
            folder, _, last = name.rpartition("/")
            if folder in self._names:
                self._names[folder].add(last)
                return
            if len(self._names) == MOST_FOLDERS:
                raise InputError(
                    f"{self.path}: more than {MOST_FOLDERS:,} folders, expected one for each class"
                )
            self._names[folder] = {last}
            name = folder

    def children(self, folder: str) -> list[str]:
        """See :class:`FolderArchive`."""
        return sorted(self._names.get(folder.strip("/"), ()))

    def read(self, name: str, max_bytes: int = LARGEST_IMAGE) -> bytes:
        """See :class:`FolderArchive`."""
        try:
            with self._reading:
                info = self._open().getinfo(name)
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    method = info.compress_type
                    raise InputError(
                        f"{self.path}: {name} is compressed by method {method}, expected deflate"
                    )
                # other methods unpack a few bytes to gigabytes at once
                with self._open().open(info) as member, at(f"{self.path}: {name}"):
                    return read_at_most(member, info.file_size, max_bytes)
        except KeyError:
            raise InputError(
                f"{self.path}: {name} is missing; the data set is incomplete"
            ) from None
        except InputError:
            raise
        except (
            Exception
        ) as error:  # a damaged member fails in zipfile or in any of its decompressors
            raise InputError(
                f"{self.path}: {name} is damaged ({error}); get an intact copy"
            ) from None

    def _open(self) -> zipfile.ZipFile:
        if self._file is None or self._process != os.getpid():
            try:
                listing = _Listing(self.path)
                self._file = zipfile.ZipFile(listing)
                listing.most = None
            except OSError as error:
                raise InputError(
                    f"{self.path}: cannot be read ({error.strerror or error})"
                ) from None
            except InputError:
                raise
            except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
                raise InputError(
                    f"{self.path}: damaged zip file ({error}); get an intact copy"
                ) from None
            self._process = os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_file", "_process", "_reading")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _file=None, _process=None, _reading=threading.Lock())


class _Listing(io.FileIO):
    """The file of a zip; while `most` is set, no more bytes are read from it at once, as
    :mod:`zipfile` would.
    """

    most: int | None = LARGEST_LISTING

    def read(self, size: int | None = -1, /) -> bytes:
        """See :meth:`io.FileIO.read`."""
        if size is not None and self.most is not None and size > self.most:
            raise InputError(
                f"{self.name}: its list of members has {size:,} bytes, expected at most "
                f"{self.most:,}"
            )
        return super().read(size)

    def __del__(self) -> None:
        self.close()


Archive = FolderArchive | ZipArchive
