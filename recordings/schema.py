"""What the formats of rasters and of maps share: how a dataset is described, the table of samples, caps on sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError
from spikesam.recordings.text import brief

LIBVER = ("v110", "v110")

SPIKE_CHUNK_BYTES = 1 << 20  # a chunk of spikes or maps holds as many whole steps as fit, at least one
TABLE_CHUNK_BYTES = 1 << 16  # a chunk of any other dataset holds as many whole rows as fit, at least one

# Caps on what a file may declare, checked before anything of that size is allocated.
MAX_LAYERS = 256
MAX_SIZES = {"N": 1 << 24, "T": 1 << 16, "S": 1 << 16, "K": 1 << 16, "bytes": 1 << 24}
MAX_DATASET_BYTES = 1 << 30  # of a whole table; for spikes and maps, of one sample of one layer
MAX_TABLES_BYTES = 1 << 30  # of all tables of a file together
MAX_TEXT = 1 << 20  # characters of one text attribute


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset: its shape in symbols (N samples, T steps, K classes, bytes of one step), its dtype, its filters."""

    name: str
    axes: tuple[str, ...]
    dtype: np.dtype[Any]
    deflate: bool = False

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape in numbers."""
        return tuple(sizes[axis] for axis in self.axes)

    def chunks(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """With deflate (1, steps, …), whole steps of ≤ 1 MiB in all; tables: whole rows of ≤ 64 KiB; at least one."""
        count, *rest = self.shape(sizes)
        if self.deflate:
            steps, *step = rest
            return (1, max(1, min(steps, SPIKE_CHUNK_BYTES // (math.prod(step) * self.dtype.itemsize))), *step)
        row_bytes = math.prod(rest) * self.dtype.itemsize
        return (max(1, min(count, TABLE_CHUNK_BYTES // row_bytes)), *rest)


SAMPLE_DATASETS = {
    "index": DatasetSpec("index", ("N",), np.dtype("<i8")),
    "label": DatasetSpec("label", ("N",), np.dtype("<i4")),
    "prediction": DatasetSpec("prediction", ("N",), np.dtype("<i4")),
}


@dataclass(frozen=True, eq=False)
class SampleTable:
    """Which samples a file holds, in order.

    Parameters
    ----------
    index : (N,) int64 — position in the data set
    label : (N,) int32 — class, -1 where unknown
    """

    index: NDArray[np.int64]
    label: NDArray[np.int32]

    __repr__ = brief

    def __post_init__(self) -> None:
        for name, dtype in (("index", np.int64), ("label", np.int32)):
            array = np.array(getattr(self, name))
            if array.ndim != 1 or array.dtype.kind not in "iu" or not np.array_equal(array.astype(dtype), array):
                raise InputError(
                    f"samples: {name} is {array.shape} of {array.dtype}, expected (N,) of {np.dtype(dtype)}"
                )
            array = array.astype(dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.index) != len(self.label):
            raise InputError(f"samples: {len(self.index)} indices and {len(self.label)} labels, expected as many")
        check_size("number of samples", len(self.index), "N")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, positions: slice) -> SampleTable:
        return SampleTable(self.index[positions], self.label[positions])


def check_size(name: str, value: int, symbol: str) -> None:
    """Refuse a size outside 1 … its cap."""
    if not 1 <= value <= MAX_SIZES[symbol]:
        raise InputError(f"{name} is {value}, expected 1 to {MAX_SIZES[symbol]:,}")
