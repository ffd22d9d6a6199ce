"""One layer of an open file, read sample by sample: what views of spikes and of maps share."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError

Value = TypeVar("Value", bound=np.generic)


class LayerView(ABC, Generic[Value]):
    """A layer, indexed by the position of a sample or by a slice of positions; nothing else is read."""

    def __init__(self, where: str, shape: tuple[int, ...], dtype: type[Value]) -> None:
        self._where, self._shape, self._dtype = where, shape, dtype  # (N, T, …)

    @property
    @abstractmethod
    def name(self) -> str:
        """Such as "conv1"."""

    def __repr__(self) -> str:
        """One line: which layer of which file, and how much is in it."""
        samples, steps, *shape = self._shape
        return f"<{self.name} of {self._where}: {samples} samples, {steps} steps, {'×'.join(map(str, shape))}>"

    def __len__(self) -> int:
        """N, the number of samples."""
        return self._shape[0]

    def __iter__(self) -> Iterator[NDArray[Value]]:
        """Every sample, one after the other."""
        return (self._read(sample) for sample in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """(T, N, …) of all samples, for NumPy: the axes of a slice."""
        return self[:].astype(dtype or self._dtype, copy=False)

    @overload
    def __getitem__(self, samples: slice) -> NDArray[Value]: ...
    @overload
    def __getitem__(self, samples: int) -> NDArray[Value]: ...
    def __getitem__(self, samples: Any) -> NDArray[Value]:
        """Read (T, …) of one sample, or (T, B, …) of a slice.

        Raises
        ------
        InputError : if there is no such sample, or `samples` is neither a whole number nor a slice
        """
        if not isinstance(samples, slice):
            return self._read(position(samples, len(self), self._where))
        chosen = range(len(self))[samples]
        _, steps, *shape = self._shape
        found = np.empty((steps, len(chosen), *shape), self._dtype)
        for column, sample in enumerate(chosen):
            found[:, column] = self._read(sample)
        return found

    @abstractmethod
    def _read(self, sample: int) -> NDArray[Value]:
        """One sample, (T, …)."""


def position(sample: Any, n_samples: int, where: object) -> int:
    """Refuse a position at which there is no sample; negative ones count from the end."""
    try:
        at = operator.index(sample)
    except TypeError as error:
        raise InputError(f"{where}: got sample {sample!r}, expected a whole number or a slice") from error
    if not -n_samples <= at < n_samples:
        raise InputError(f"{where}: no sample {at}, expected 0 to {n_samples - 1}")
    return at % n_samples
