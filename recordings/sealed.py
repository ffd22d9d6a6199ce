"""Reading a file whose bytes are those that were written (see seal.py): nothing in it has to be checked again."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing import Self  # Python 3.10 lacks it


class SealedFile:
    """A file of spikes or of maps in memory, for those who copy it as it is; a context manager.

    Parameters
    ----------
    content : as :func:`recordings.seal.sealed_content` gives it, of a file that holds what is asked for
    """

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._file = h5py.File.in_memory(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def text(self, name: str) -> str:
        """An attribute of the file itself."""
        return str(self._file.attrs[name])

    def table(self, path: str) -> NDArray[Any]:
        """A whole dataset."""
        dataset = h5py.h5d.open(self._file.id, path.encode())
        array = np.empty(dataset.shape, dataset.dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
        return array

    def chunks(self, path: str) -> list[list[memoryview]]:
        """The stored chunks of every row of a dataset, each in order."""
        dataset = h5py.h5d.open(self._file.id, path.encode())
        found: dict[tuple[int, ...], memoryview] = {}
        dataset.chunk_iter(lambda at: found.update({at.chunk_offset: self._stored(at)}))
        rows: list[list[memoryview]] = [[] for _ in range(dataset.shape[0])]
        for place in sorted(found):
            rows[place[0]].append(found[place])
        return rows

    def _stored(self, chunk: h5py.h5d.StoreInfo) -> memoryview:
        return self._content[chunk.byte_offset : chunk.byte_offset + chunk.size]
