"""Files that still have the size and the SHA-256 that are remembered of them: they hold what was written.

So nothing in them has to be checked again, and no help of :mod:`recordings.inspection` is needed to open them.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
from numpy.typing import NDArray

from .chunks import open_dataset, read_table

if TYPE_CHECKING:
    from typing import Self  # Python 3.10 lacks it


class Seal(NamedTuple):
    """What is remembered of one file: its size in bytes, and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


def seal(content: bytes | memoryview) -> Seal:
    """The seal of a file with this content."""
    return Seal(len(content), hashlib.sha256(content).hexdigest())


def sealed_content(path: Path, expected: Seal) -> bytes | None:
    """The content of a file that has this seal; None if it has another, or there is no such file."""
    try:
        if path.stat().st_size != expected.size:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return content if seal(content) == expected else None


class SealedFile:
    """A sealed file of spikes or of maps in memory, for those who copy it as it is; a context manager."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._file = h5py.File(io.BytesIO(content), "r")  # which, other than HDF5's own memory, copies nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def text(self, name: str) -> str:
        """An attribute of the file itself."""
        return str(self._file.attrs[name])

    def table(self, path: str) -> NDArray[Any]:
        """A whole dataset."""
        return read_table(self._file, path)

    def chunks(self, path: str) -> list[list[memoryview]]:
        """The stored chunks of every row of a dataset, each in order."""
        dataset = open_dataset(self._file, path)
        found: dict[tuple[int, ...], memoryview] = {}
        dataset.chunk_iter(lambda at: found.update({at.chunk_offset: self._stored(at)}))
        rows: list[list[memoryview]] = [[] for _ in range(dataset.shape[0])]
        for place in sorted(found):
            rows[place[0]].append(found[place])
        return rows

    def _stored(self, chunk: h5py.h5d.StoreInfo) -> memoryview:
        return self._content[chunk.byte_offset : chunk.byte_offset + chunk.size]
