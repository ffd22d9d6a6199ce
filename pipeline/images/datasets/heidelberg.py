"""Spiking Heidelberg Digits and Spiking Speech Commands: spoken words as spikes of 700 filters, in
one HDF5 file.

`spikes/times` holds the seconds and `spikes/units` the channels of each recording's spikes,
`labels` its class, and `extra/keys`, where it is there, the names of the classes. A recording
becomes ON events of a column of 700 pixels.

References
----------
Cramer et al. 2022, The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural
Networks.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.common.files import file_digest
from spikesam.common.text import LONGEST_NAME, printable, shell_command
from spikesam.pipeline.images.datasets.base import Dataset, Item
from spikesam.pipeline.images.events.events import MOST, Events
from spikesam.recordings.hdf5 import CheckedFile
from spikesam.recordings.schema import MAX_SIZES

CHANNELS = 700
LATEST = 1e12  # seconds, which become whole microseconds
WHAT = "recordings of SHD or SSC (spikes/times, spikes/units, labels)"


class HeidelbergFile(Dataset):
    """The recordings of a file; opened for each that is read."""

    def __init__(self, path: Path) -> None:
        with closing(_Opened(path, inspected=True)) as opened:
            labels, names = opened.labels, opened.keys
        self._path, self._digest = path, file_digest(path)
        classes = [f"word-{number}" for number in range(max(len(names), 1 + max(labels)))]
        super().__init__(
            f"{printable(path.stem, LONGEST_NAME)}#{self._digest[:8]}",
            classes,
            labels,
            class_names=[*names, *classes[len(names) :]],
            files=shell_command(path),
        )

    def __getitem__(self, position: int) -> Item:
        with closing(_Opened(self._path, inspected=False)) as opened:
            return self._item(position, opened.events(position))

    def content(self, position: int) -> str:
        """See :class:`.base.Dataset`: the file is the same for all."""
        return self._digest


class _Opened:
    """The datasets of a file, each seen to be what it should be."""

    def __init__(self, path: Path, *, inspected: bool) -> None:
        self._file = CheckedFile(
            path,
            "recordings",
            WHAT,
            f"{__name__}:{check_heidelberg_file.__name__}" if inspected else None,
        )
        root, names = self._file.root, self._file.children(self._file.root, 64)
        for name in ("spikes", "labels"):
            if name not in names:
                raise self._file.fail(f"/{name}", "missing", WHAT)
        spikes = self._file.group(root, "spikes")
        inside = self._file.children(spikes, 64)
        for name in ("times", "units"):
            if name not in inside:
                raise self._file.fail(f"/spikes/{name}", "missing", WHAT)
        self._times, self._units = (
            self._lists(spikes, name, kinds) for name, kinds in (("times", "f"), ("units", "iu"))
        )
        self.labels = self._numbers(root)
        self.keys = self._names(root) if "extra" in names else []

    def close(self) -> None:
        """Close the file."""
        self._file.file.close()

    def events(self, position: int) -> Events:
        """The events of a recording."""
        path = f"/spikes/times[{position}]"
        with self._file.reading(path):
            times, units = self._times[position], self._units[position]
        if len(times) != len(units) or not 0 < len(times) <= MOST:
            raise self._file.fail(
                path, f"{len(times):,} times of {len(units):,} units", f"as many, 1 to {MOST:,}"
            )
        seconds = times.astype(np.float64)
        if not 0 <= seconds.min() <= seconds.max() < LATEST:  # which NaN is not, either
            raise self._file.fail(
                path, "a time before 0, or not finite", "seconds from the beginning"
            )
        order = np.argsort(seconds, kind="stable")
        microseconds = np.rint(seconds[order] * 1e6).astype(np.int64)
        with self._file.reading(path):
            return Events(
                microseconds, 0 * order, units[order], np.ones(len(order), np.bool_), (CHANNELS, 1)
            )

    def _dataset(self, group: Any, name: str) -> Any:
        dataset = h5py.Dataset(self._file.data(group, name))
        with self._file.reading(dataset.name):
            if dataset.ndim != 1 or not 1 <= dataset.size <= MAX_SIZES["N"]:
                raise self._file.fail(
                    dataset.name, f"shape {dataset.shape}", f"(N,), 1 to {MAX_SIZES['N']:,}"
                )
            return dataset

    def _lists(self, group: Any, name: str, kinds: str) -> Any:
        dataset = self._dataset(group, name)
        with self._file.reading(dataset.name):
            element_type = h5py.check_vlen_dtype(dataset.dtype)
            if element_type is None or np.dtype(element_type).kind not in kinds:
                raise self._file.fail(
                    dataset.name, f"dtype {dataset.dtype}", "a list of numbers for each recording"
                )
        return dataset

    def _numbers(self, root: Any) -> list[int]:
        dataset = self._dataset(root, "labels")
        if (
            dataset.dtype.kind not in "iu"
            or not dataset.size == self._times.size == self._units.size
        ):
            sizes = f"{dataset.size:,} of {dataset.dtype}"
            raise self._file.fail(
                "/labels", sizes, f"{self._times.size:,} whole numbers, one for each recording"
            )
        with self._file.reading("/labels"):
            labels: NDArray[np.int64] = dataset[:].astype(np.int64)
        if not 0 <= labels.min() <= labels.max() < MAX_SIZES["K"]:
            raise self._file.fail(
                "/labels", f"{labels.min()} to {labels.max()}", f"0 to {MAX_SIZES['K'] - 1:,}"
            )
        class_numbers: list[int] = labels.tolist()
        return class_numbers

    def _names(self, root: Any) -> list[str]:
        """The names of the classes, none if they are not there."""
        extra = self._file.group(root, "extra")
        if "keys" not in self._file.children(extra, 64):
            return []
        dataset = self._dataset(extra, "keys")
        with self._file.reading("/extra/keys"):
            if dataset.size > MAX_SIZES["K"] or h5py.check_string_dtype(dataset.dtype) is None:
                raise self._file.fail(
                    "/extra/keys", f"{dataset.size:,} of {dataset.dtype}", "names of classes"
                )
            return [
                printable(encoded_name.decode("utf-8", "replace"), LONGEST_NAME)
                for encoded_name in dataset[:]
            ]


def check_heidelberg_file(path: Path) -> None:
    """Read all of a file for the errors that it may raise."""
    with closing(_Opened(path, inspected=False)) as opened:
        for position in range(len(opened.labels)):
            opened.events(position)
