"""Spikes as a list of who fired when, as other simulators, chips and microscopes give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.bits import FIRED_ADVICE, on_cpu
from spikesam.recordings.text import brief

WHERE = "SpikeEvents"


@dataclass(frozen=True, eq=False)
class SpikeEvents:
    """The spikes of one layer, one (sample, step, neuron) each, in any order.

    Parameters
    ----------
    sample, step, neuron : (E,) int, from 0 — in which sample, in which step, and who: the position in C-order over
        (C, H, W), which is ``numpy.ravel_multi_index((channel, row, column), (C, H, W))``
    shape : (N, T, C, H, W), or (N, T, K) of a dense layer — what an array of all these spikes would have

    Raises
    ------
    InputError : if they are no whole numbers, such as times in seconds, not equally many, or outside `shape`

    Examples
    --------
    >>> import spikesam
    >>> events = spikesam.SpikeEvents(sample=[0, 0, 1], step=[2, 3, 0], neuron=[7, 7, 1], shape=(2, 5, 8))
    >>> path = spikesam.write_raster("chip.h5", {"fc1": events}, overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     raster["fc1"].counts.tolist()
    [[0, 0, 1, 1, 0], [1, 0, 0, 0, 0]]
    """

    sample: ArrayLike
    step: ArrayLike
    neuron: ArrayLike
    shape: tuple[int, ...]

    __repr__ = brief

    def __post_init__(self) -> None:
        shape = tuple(self.shape)
        if len(shape) not in (3, 5) or not all(isinstance(side, int | np.integer) and side > 0 for side in shape):
            raise InputError(f"{WHERE}: shape: got {self.shape}, expected (N, T, C, H, W), or (N, T, K), above 0")
        object.__setattr__(self, "shape", tuple(map(int, shape)))
        sides = {"sample": self.shape[0], "step": self.shape[1], "neuron": self.neurons}
        columns = {name: _column(name, getattr(self, name), side) for name, side in sides.items()}
        if len({len(column) for column in columns.values()}) > 1:
            found = ", ".join(f"{len(column)} of {name}" for name, column in columns.items())
            raise InputError(f"{WHERE}: got {found}, expected one of each for every spike")
        sample = columns["sample"]
        if (sample[1:] < sample[:-1]).any():
            order = np.argsort(sample, kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    @property
    def neurons(self) -> int:
        """C·H·W, or K."""
        return int(np.prod(self.shape[2:], dtype=object))

    def packed(self, rows: slice, where: Callable[[tuple[int, ...]], str], *, fired: bool) -> NDArray[np.uint8]:
        """Pack some samples: (B, T, bytes) uint8, see :func:`spikesam.recordings.raster.batch.pack`.

        Parameters
        ----------
        where : (sample of these,) -> what names it at the beginning of a message
        fired : whether a neuron may be listed twice in a step, which is refused otherwise
        """
        events = slice(*np.searchsorted(np.asarray(self.sample), (rows.start, rows.stop)))
        columns = (self.sample, self.step, self.neuron)
        sample, step, neuron = (np.asarray(column)[events].astype(np.int64) for column in columns)
        shape = (rows.stop - rows.start, self.shape[1], self.neurons)
        place = (sample - rows.start, step, neuron)
        flat = np.ravel_multi_index(place, shape)
        if not fired:
            once, times = np.unique(flat, return_counts=True)
            if (several := once[times > 1]).size:
                at, t, who = np.unravel_index(several[0], shape)
                twice = f"{where((int(at),))}: neuron {who} fires more than once in step {t}"
                raise InputError(f"{twice}, expected at most once{FIRED_ADVICE}")
        packed = np.zeros((*shape[:2], -(-shape[2] // 8)), np.uint8)
        np.bitwise_or.at(packed, (*place[:2], neuron // 8), (128 >> neuron % 8).astype(np.uint8))
        return packed


def _column(name: str, values: Any, side: int) -> NDArray[Any]:
    """(E,) whole numbers from 0 to below `side`."""
    column = np.asarray(on_cpu(values))
    if column.ndim == 1 and not column.size:
        return column.astype(np.int64)
    if column.ndim != 1 or column.dtype.kind not in "iu":
        advice = "; for times, give the number of the step" if name == "step" and column.dtype.kind == "f" else ""
        raise InputError(
            f"{WHERE}: {name}: got shape {column.shape} of {column.dtype}, expected (E,) whole numbers{advice}"
        )
    if (wrong := np.flatnonzero((column < 0) | (column >= side))).size:
        first = wrong[0]
        raise InputError(f"{WHERE}: {name}: got {column[first]} for spike {first}, expected 0 to {side - 1}")
    return column
