"""A NIR file of unknown origin: looked at before the library `nir` reads all of it, wherever its
links lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

import h5py

from spikesam.common.errors import InputError
from spikesam.pipeline.imports.nir import nir_library
from spikesam.recordings.hdf5 import CheckedFile

MOST_OBJECTS = 20_000  # groups and datasets in a file
MOST_BYTES = 1 << 30  # of all arrays in a file, once they are unpacked
DEEPEST = 16  # groups inside groups


def read_graph(path: str | PathLike[str]) -> Any:
    """The graph that a file holds, a `nir.NIRGraph`; its sizes are not compared yet."""
    nir = nir_library()
    opener = f"{__name__}:{read_graph.__name__}"
    checked = CheckedFile(path, "network", "a NIR file", opener)  # type: ignore[arg-type]
    with checked.file:
        if "node" not in checked.children(checked.root, MOST_OBJECTS):
            raise checked.fail("/", "HDF5 without a group 'node'", "a NIR file")
        Walk(checked, set(nir.ir.__all__)).group(checked.root, "", 0)
    try:
        return nir.read(path, type_check=False)
    except (
        Exception
    ) as error:  # the library checks little, so that anything can come of malformed nodes
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: cannot be read as a NIR graph ({type(error).__name__}: {reason}), expected a "
            "file that nir.write made"
        ) from error


@dataclass
class Walk:
    """Goes through a file without reading its arrays."""

    checked: CheckedFile
    types: set[str]
    objects: int = 0

    def group(self, group: h5py.h5g.GroupID, group_path: str, depth: int) -> None:
        """Look at all that is in a group."""
        if depth > DEEPEST:
            raise self.checked.fail(
                group_path, f"more than {DEEPEST} groups inside each other", "fewer"
            )
        for name in self.checked.children(group, MOST_OBJECTS):
            path = f"{group_path}/{name}"
            self.objects += 1
            if self.objects > MOST_OBJECTS:
                raise self.checked.fail(
                    path, f"more than {MOST_OBJECTS:,} groups and datasets", "at most so many"
                )
            with self.checked.reading(path):
                child = h5py.h5o.open(group, name.encode())
            if isinstance(child, h5py.h5g.GroupID):
                self.group(child, path, depth + 1)
            elif isinstance(child, h5py.h5d.DatasetID):
                self.dataset(child, path)
            else:
                raise self.checked.fail(path, "neither a group nor a dataset", "either")

    def dataset(self, dataset: h5py.h5d.DatasetID, path: str) -> None:
        """Refuse what lies in other files or is too large, and a type of node that nobody knows."""
        with self.checked.reading(path):
            self.checked.refuse_elsewhere(dataset)
            self.checked.count_bytes(dataset, MOST_BYTES)
            if not path.endswith("/type") or "/metadata/" in path:
                return
            stored = h5py.Dataset(dataset)[()]
            kind = stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)
            if kind not in self.types:
                known_types = ", ".join(
                    sorted(self.types - {"NIRNode", "str2NIRNode", "dict2NIRNode"})
                )
                raise self.checked.fail(
                    path, f"type of node {kind[:80]!r}", f"one of {known_types}"
                )
