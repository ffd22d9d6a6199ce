"""New HDF5 files: on a disk that may be full, under which HDF5 itself crashes (segmentation fault), or in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from spikesam.recordings.compress import DEFLATE_LEVEL
from spikesam.recordings.disk import replacing
from spikesam.recordings.schema import LIBVER, DatasetSpec


class Target(io.FileIO):
    """Tells HDF5 that every write succeeded, and :meth:`check` whether that is true."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`; the first failure is kept, not raised."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = self.failure or error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file; the first failure is kept, not raised."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return self.tell() if size is None else size

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.failure is not None:
            raise self.failure


@contextmanager
def new_hdf5(path: Path, *, overwrite: bool) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """An HDF5 file that becomes `path` as `replacing` says; a full disk does not harm it.

    The function beside it is to be called now and then, and is called at the end: it raises an OSError with the
    system's plain reason if a write has failed.
    """
    with replacing(path, overwrite=overwrite) as disk, Target(disk.fileno(), "w+", closefd=False) as target:
        with h5py.File(target, "w", libver=LIBVER) as file:
            yield file, target.check
        target.check()


def create_dataset(file: h5py.File, path: str, spec: DatasetSpec, sizes: Mapping[str, int]) -> None:
    """An empty dataset as the format says."""
    deflate: dict[str, Any] = {"compression": "gzip", "compression_opts": DEFLATE_LEVEL} if spec.deflate else {}
    file.create_dataset(path, spec.shape(sizes), spec.dtype, chunks=spec.chunks(sizes), fletcher32=True, **deflate)


@contextmanager
def hdf5_in_memory(content: bytes | None = None) -> Iterator[tuple[h5py.File, Callable[[], bytes]]]:
    """An HDF5 file in memory, new or with this content; the function beside it gives what the file then holds."""
    memory = io.BytesIO(content or b"")  # HDF5's own files in memory have names, looked for in the current folder
    with h5py.File(memory, "w" if content is None else "r+", libver=LIBVER) as file:

        def image() -> bytes:
            file.flush()
            return memory.getvalue()

        yield file, image
