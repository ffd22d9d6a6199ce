"""New HDF5 files: on a disk that may be full, under which HDF5 itself crashes (segmentation fault),
or in memory.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from spikesam.common.disk import replacing
from spikesam.recordings.chunks import DEFLATE_LEVEL
from spikesam.recordings.schema import LIBVER, DatasetSpec


class Target(io.FileIO):
    """Tells HDF5 that every write succeeded, and :meth:`check` whether that is true."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`; the first failure is kept, not raised."""
        unwritten = memoryview(data).cast("B")
        size = len(unwritten)
        try:
            while unwritten:
                unwritten = unwritten[super().write(unwritten) :]
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

    def sync(self) -> None:
        """Wait until what was written is on disk, so that less is left to wait for at the end."""
        os.fsync(self.fileno())


@contextmanager
def new_hdf5(path: Path, *, overwrite: bool) -> Iterator[tuple[h5py.File, Target]]:
    """An HDF5 file that becomes `path` as `replacing` says; a full disk does not harm it.

    `check` of the target is to be called now and then, and is called at the end: it raises an
    OSError with the system's plain reason if a write has failed.
    """
    with (
        replacing(path, overwrite=overwrite) as disk,
        Target(disk.fileno(), "w+", closefd=False) as target,
    ):
        with h5py.File(target, "w", libver=LIBVER) as file:
            yield file, target
        target.check()


def create_dataset(file: h5py.File, dataset: DatasetSpec) -> None:
    """Lay out a dataset, empty unless its content is known."""
    deflate: dict[str, Any] = (
        {"compression": "gzip", "compression_opts": DEFLATE_LEVEL} if dataset.digests else {}
    )
    data = np.array(dataset.content, dataset.dtype) if dataset.content else None
    created = file.create_dataset(
        dataset.path,
        dataset.shape,
        dataset.dtype,
        data,
        chunks=dataset.chunks,
        fletcher32=True,
        **deflate,
    )
    for name, value in dataset.attributes.items():
        created.attrs[name] = np.array(value, np.int64) if isinstance(value, tuple) else value


def hdf5_in_memory(memory: io.BytesIO, mode: Literal["w", "r+"]) -> h5py.File:
    """An HDF5 file in memory; HDF5's own files in memory have names, which it looks for in the
    current folder.
    """
    return h5py.File(memory, mode, libver=LIBVER)
