"""The schema that rasters and maps share: a file that holds something of every sample, layer by
layer.
"""

from __future__ import annotations

import difflib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.common.stamp import Stamp
from spikesam.common.text import brief

LIBVER = ("v110", "v110")

SPIKE_CHUNK_BYTES = (
    1 << 20
)  # a chunk of spikes or maps holds as many whole steps as fit, at least one
TABLE_CHUNK_BYTES = (
    1 << 16
)  # a chunk of any other dataset holds as many whole rows as fit, at least one

# Caps on what a file may declare, checked before anything of that size is allocated.
MAX_LAYERS = 1000  # whose numbers have three digits
MAX_SIZES = {"N": 1 << 24, "T": 1 << 16, "S": 1 << 16, "K": 1 << 16, "bytes": 1 << 24}
MAX_DATASET_BYTES = 1 << 30  # of a whole table; for spikes and maps, of one sample of one layer
MAX_TABLES_BYTES = 1 << 30  # of all tables of a file together
MAX_TEXT = 1 << 20  # characters of one text attribute

DIGEST = np.dtype("S64")  # SHA-256 in hexadecimal digits
SAMPLE_DTYPES: dict[str, np.dtype[Any]] = {  # of /samples/…
    "index": np.dtype("<i8"),
    "label": np.dtype("<i4"),
    "prediction": np.dtype("<i4"),
}
PREDICTION = "/samples/prediction"
MADE_OF = (
    "made_of"  # in a configuration, or of maps: the digest of the raster that a raster was made of
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_GROUP = re.compile(rf"([0-9]{{3}})_({_NAME.pattern})")


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset of a file: values of every sample, which are deflated, such as spikes or maps, or
    else a table.
    """

    path: str
    shape: tuple[int, ...]  # samples first, but where it has `content`; of values (N, rows, …)
    dtype: np.dtype[Any]
    digests: str = ""  # path of the table of SHA-256 of each sample's values; "" of a table
    attributes: Mapping[str, Any] = field(
        default_factory=dict, hash=False
    )  # text, number, or numbers
    content: tuple[int, ...] = ()  # the same for whatever samples

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """Of values (1, rows, …), whole rows of ≤ 1 MiB in all; of tables whole rows of ≤ 64 KiB;
        at least one.
        """
        count, *row = self.shape[1:] if self.digests else self.shape
        most_rows = (SPIKE_CHUNK_BYTES if self.digests else TABLE_CHUNK_BYTES) // (
            math.prod(row) * self.dtype.itemsize
        )
        return (*[1] * bool(self.digests), max(1, min(count, most_rows)), *row)


@dataclass(frozen=True)
class NamedLayer:
    """A layer as a header describes it: its name, such as "conv1", and its depth, 0 for the
    input.
    """

    name: str
    number: int

    @property
    def group(self) -> str:
        """Name of its group in the file, "001_conv1", so that groups are listed in order of
        depth.
        """
        return f"{self.number:03d}_{self.name}"

    def path(self, dataset: str) -> str:
        """The path of one of its datasets in the file: "/layers/001_conv1/spikes"."""
        return f"/layers/{self.group}/{dataset}"


RASTER_STAMP = Stamp("spike-raster", 3, "a raster")
MAPS_STAMP = Stamp("spike-maps", 5, "a file of maps")


class Header(ABC):
    """Statements of a file about all its samples; raster and maps have one each, a frozen
    dataclass.
    """

    STAMP: ClassVar[Stamp]
    JOINED: ClassVar[
        tuple[str, ...]
    ] = ()  # root attributes that say who made the samples: several are joined by "+"
    timesteps: int
    layers: tuple[Any, ...]

    @abstractmethod
    def datasets(self, n_samples: int) -> list[DatasetSpec]:
        """All datasets of a file of so many samples; tables in the order in which the content
        digest takes them.
        """

    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """Root attributes that files of the same run have in common."""

    def derived(self, table: Callable[[str], NDArray[Any]]) -> dict[str, str]:
        """Root attributes that follow from tables, given by path, once all samples are there."""
        return {}

    @cached_property
    def one_sample(self) -> dict[str, DatasetSpec]:
        """Path -> dataset of a file of one sample."""
        return {dataset.path: dataset for dataset in self.datasets(1)}


def sample_datasets(n_samples: int) -> list[DatasetSpec]:
    """The tables that say which samples a file holds."""
    return [
        DatasetSpec(f"/samples/{name}", (n_samples,), dtype)
        for name, dtype in SAMPLE_DTYPES.items()
    ]


@dataclass(frozen=True, eq=False)
class SampleTable:
    """The samples that a file holds, in order."""

    index: NDArray[np.int64]  # (N,) position in the data set
    label: NDArray[np.int32]  # (N,) class, -1 where unknown

    __repr__ = brief

    def __post_init__(self) -> None:
        for name, dtype in (("index", np.int64), ("label", np.int32)):
            array = np.array(getattr(self, name))
            if (
                array.ndim != 1
                or array.dtype.kind not in "iu"
                or not np.array_equal(array.astype(dtype), array)
            ):
                raise InputError(
                    f"samples: {name} is {array.shape} of {array.dtype}, expected (N,) of "
                    f"{np.dtype(dtype)}"
                )
            array = array.astype(dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.index) != len(self.label):
            raise InputError(
                f"samples: {len(self.index)} indices and {len(self.label)} labels, expected as many"
            )
        check_cap("number of samples", len(self.index), "N")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, positions: slice) -> SampleTable:
        return SampleTable(self.index[positions], self.label[positions])


def check_cap(name: str, value: int, symbol: str) -> None:
    """Refuse a size outside 1 … its cap."""
    if not 1 <= value <= MAX_SIZES[symbol]:
        raise InputError(f"{name} is {value}, expected 1 to {MAX_SIZES[symbol]:,}")


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a layer."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise InputError(
            f"layer {str(name)[:80]!r}: expected a name such as 'conv1', of letters, digits and _"
        )


def parse_group(group: str) -> tuple[int, str] | None:
    """Number and name of the layer whose group has this name; None if no layer's group can have
    it.
    """
    matched = _GROUP.fullmatch(group)
    return (int(matched[1]), matched[2]) if matched else None


def find_layer(name_or_number: str | int, numbers: Mapping[str, int]) -> str:
    """Name of the layer of this name ("conv1") or number (1, "1"), of `numbers`: name -> number;
    else an InputError.
    """
    by_number = {str(number): name for name, number in numbers.items()}
    text = str(name_or_number)
    name = text if text in numbers else by_number.get(text.lstrip("0") or text[:1])
    if name is None:
        if set(text.replace(",", " ").split()) <= set(numbers) and "," in text:
            raise InputError(
                f"no layer {name_or_number!r}; name several one by one, without commas"
            )
        near = difflib.get_close_matches(text, numbers, 3) or numbers
        raise InputError(f"no layer {name_or_number!r}; did you mean {' or '.join(near)}?")
    return name


def steps_that_matter(timesteps: int, to_readout: int) -> int:
    """The number of first steps of a layer that can still change the answer, at least 1.

    The readout sums up to step T - 1. A spike after step T - 1 - `to_readout` arrives too late, and
    says nothing of the answer. A spike needs `to_readout` steps at least to get there: where each
    layer takes a step and reads the one before, L - l of layer l of L; 0 where layers take no step.
    """
    return max(1, timesteps - to_readout)
