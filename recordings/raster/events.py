"""Lists of the spikes of a layer, by the number of their step or their time in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.common.arguments import checked_arguments, checked_fields
from spikesam.common.errors import InputError, finding
from spikesam.common.text import brief
from spikesam.common.warning import warn
from spikesam.recordings.raster.batch import FIRED_ADVICE, on_cpu, packed_bytes

Rounding = Literal["down", "nearest", "up"]

# of a step: a time so near to where a step begins is there, because floats seldom hold it exactly
CLOSE = 1e-6
SHAPE, DT = "(N, T, C, H, W), or (N, T, K), above 0", "seconds in a step, above 0"
COARSE = 0.1  # of a step: where numbers hold times no better, they do not tell steps apart


@checked_fields
@dataclass(frozen=True, eq=False)
class SpikeEvents:
    """The spikes of one layer, one (sample, step, neuron) each, in any order.

    Parameters
    ----------
    sample, step, neuron : (E,) int, from 0 — in which sample, in which step, and who: the position
        in C-order over (C, H, W), which is ``numpy.ravel_multi_index((channel, row, column), (C, H,
        W))``
    shape : (N, T, C, H, W), or (N, T, K) of a dense layer — what an array of all these spikes would
        have
    dt : seconds in a step, where they are known
    merged : how many spikes of times were left out, because their neuron had fired in that step
        already

    Raises
    ------
    InputError : if they are no whole numbers, not equally many, or outside `shape`; for times in
        seconds see :meth:`from_times` and :meth:`from_trains`

    Examples
    --------
    >>> import spikesam
    >>> events = spikesam.SpikeEvents(sample=[0, 0, 1], step=[2, 3, 0], neuron=[7, 7, 1], shape=(2,
    ... 5, 8))
    >>> path = spikesam.write_raster("chip.h5", {"fc1": events}, overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     raster["fc1"].counts.tolist()
    [[0, 0, 1, 1, 0], [1, 0, 0, 0, 0]]
    """

    sample: ArrayLike
    step: ArrayLike
    neuron: ArrayLike
    shape: tuple[int, ...]
    dt: float | None = None
    merged: int = 0

    __repr__ = brief

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _whole_shape(self.shape))
        sides = {"sample": self.shape[0], "step": self.shape[1], "neuron": self.neurons}
        columns = {name: _column(name, getattr(self, name), side) for name, side in sides.items()}
        if len({len(column) for column in columns.values()}) > 1:
            got = ", ".join(f"{len(column)} of {name}" for name, column in columns.items())
            raise InputError(f"SpikeEvents: got {got}, expected one of each for every spike")
        sample = columns["sample"]
        if (sample[1:] < sample[:-1]).any():
            order = np.argsort(sample, kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    @classmethod
    @checked_arguments(shape=SHAPE, dt=DT, start="seconds")
    def from_times(
        cls,
        time: Any,
        neuron: ArrayLike,
        *,
        shape: tuple[int, ...],
        dt: float,
        sample: ArrayLike = 0,
        rounding: Rounding = "down",
        start: float = 0.0,
    ) -> SpikeEvents:
        """Spikes by their times, one after the other, as monitors of Brian2 and chips give them.

        A neuron that fires several times in a step has one spike there; how many are left out is
        said, and `merged`. A time within a millionth of a step of where a step begins is there:
        floats seldom hold such times exactly.

        Parameters
        ----------
        time : (E,) s — in any order; quantities of Neo in other units are converted
        neuron : (E,) int — as of the class
        shape : as of the class; T steps of `dt` seconds
        dt : seconds in a step
        sample : (E,) int, or one number for all
        rounding : which step a time belongs to. "down": step t lasts from t·dt to before (t +
            1)·dt, as in Brian2 and bins of Neo; "up": from behind t·dt to (t + 1)·dt, as in NEST,
            which stamps a spike at the end of its step; "nearest": t·dt is the nearest, of two the
            later
        start : seconds at which step 0 begins

        Raises
        ------
        InputError : if a time is before `start` or after the last step, no number, or held too
            coarsely for `dt`

        Examples
        --------
        >>> import spikesam
        >>> events = spikesam.SpikeEvents.from_times([0.0003, 0.0121], [7, 1], shape=(1, 200, 8),
        ... dt=1e-4)
        >>> events.step.tolist()
        [3, 121]
        """
        times, slack = _seconds(time)
        steps = _steps(times, slack, _whole_shape(shape)[1], dt, rounding, start)
        samples = np.broadcast_to(sample, steps.shape) if np.ndim(sample) == 0 else sample
        return cls(samples, steps, neuron, shape, float(dt))._once()

    @classmethod
    @checked_arguments(
        trains="for each sample the trains of its neurons", shape=SHAPE, dt=DT, start="seconds"
    )
    def from_trains(
        cls,
        trains: Sequence[Any],
        *,
        shape: tuple[int, ...],
        dt: float,
        rounding: Rounding = "down",
        start: float = 0.0,
    ) -> SpikeEvents:
        """Spikes by the times of each neuron, as Neo, PyNN and Brian2 have them; see
        :meth:`from_times`.

        Parameters
        ----------
        trains : for each of the N samples, such as a segment of Neo, the spike trains of its
            neurons: a list in the order of neurons, such as `segment.spiketrains`, or a dictionary
            from neurons, such as `monitor.spike_trains()` of Brian2. A train is (E,) s, or a
            quantity in another unit
        shape, dt, rounding, start : as of :meth:`from_times`

        Raises
        ------
        InputError : as of :meth:`from_times`, and if there are other than N samples, or more trains
            than neurons

        Examples
        --------
        >>> import spikesam
        >>> events = spikesam.SpikeEvents.from_trains([[[0.001, 0.003], [0.002]]], shape=(1, 4, 2),
        ... dt=0.001)
        >>> events.step.tolist(), events.neuron.tolist()
        ([1, 3, 2], [0, 0, 1])
        """
        samples, timesteps, *map_shape = _whole_shape(shape)
        neurons, expected = (
            int(np.prod(map_shape, dtype=object)),
            "for each sample the trains of its neurons",
        )
        if isinstance(trains, Mapping) or not hasattr(trains, "__len__") or len(trains) != samples:
            got = (
                f"{len(trains)} samples" if isinstance(trains, Sequence) else type(trains).__name__
            )
            raise InputError(
                f"SpikeEvents: trains: got {got}, expected {expected}, {samples} as shape says"
            )
        columns: list[
            tuple[Any, Any, NDArray[np.float64], float]
        ] = []  # sample, neuron, times, slack
        for number, sample_trains in enumerate(trains):
            if not hasattr(sample_trains, "__len__"):
                raise InputError(
                    f"SpikeEvents: trains: got {type(sample_trains).__name__} for sample {number}, "
                    f"expected {expected}"
                )
            if len(sample_trains) > neurons:
                got = f"{len(sample_trains)} trains for sample {number}"
                raise InputError(
                    f"SpikeEvents: trains: got {got}, expected at most {neurons}, one a neuron"
                )
            of_neurons = (
                sample_trains.items()
                if isinstance(sample_trains, Mapping)
                else enumerate(sample_trains)
            )
            columns += [(number, neuron, *_seconds(train)) for neuron, train in of_neurons]
        sizes = np.array([len(times) for _, _, times, _ in columns], np.int64)
        sample, neuron = (
            np.repeat([column[field] for column in columns], sizes) for field in (0, 1)
        )
        times = np.concatenate([np.empty(0), *(column[2] for column in columns)])
        slack = max((column[3] for column in columns), default=0.0)
        steps = _steps(times, slack, timesteps, dt, rounding, start)
        return cls(sample, steps, neuron, shape, float(dt))._once()

    def _once(self) -> SpikeEvents:
        """Each spike of a neuron in a step once, in the order in which they were; says if some were
        left out.
        """
        columns = [
            np.asarray(column).astype(np.int64) for column in (self.neuron, self.step, self.sample)
        ]
        order = np.lexsort(columns)
        again = np.logical_and.reduce(
            [column[order][1:] == column[order][:-1] for column in columns]
        )
        first_ones = np.delete(np.arange(len(order)), order[1:][again])
        merged = len(order) - len(first_ones)
        if merged:
            warn(
                f"SpikeEvents: {merged:,} of {len(order):,} spikes are in a step in which their "
                "neuron fired already, "
                "and a raster has one there; a shorter dt tells them apart",
            )
        neuron, step, sample = (column[first_ones] for column in columns)
        return replace(self, sample=sample, step=step, neuron=neuron, merged=merged)

    @property
    def neurons(self) -> int:
        """C·H·W, or K."""
        return int(np.prod(self.shape[2:], dtype=object))

    def packed(
        self, rows: slice, place_of: Callable[[tuple[int, ...]], str], *, fired: bool
    ) -> NDArray[np.uint8]:
        """Pack some samples as `batch.pack`: (B, T, bytes) uint8; `fired` allows a neuron twice in
        a step.
        """
        events = slice(*np.searchsorted(np.asarray(self.sample), (rows.start, rows.stop)))
        columns = (self.sample, self.step, self.neuron)
        sample, step, neuron = (np.asarray(column)[events].astype(np.int64) for column in columns)
        shape = (rows.stop - rows.start, self.shape[1], self.neurons)
        place = (sample - rows.start, step, neuron)
        flat = np.ravel_multi_index(place, shape)
        if not fired:
            once, times = np.unique(flat, return_counts=True)
            if (repeated := once[times > 1]).size:
                row, t, who = np.unravel_index(repeated[0], shape)
                twice = f"{place_of((int(row),))}: neuron {who} fires more than once in step {t}"
                raise InputError(f"{twice}, expected at most once{FIRED_ADVICE}")
        packed = np.zeros((*shape[:2], packed_bytes(self.neurons)), np.uint8)
        np.bitwise_or.at(packed, (*place[:2], neuron // 8), (128 >> neuron % 8).astype(np.uint8))
        return packed


def _column(name: str, values: Any, side: int) -> NDArray[Any]:
    """(E,) whole numbers from 0 to below `side`."""
    column = np.asarray(on_cpu(values))
    if column.ndim == 1 and not column.size:
        return column.astype(np.int64)
    if column.ndim != 1 or column.dtype.kind not in "iu":
        advice = (
            "; SpikeEvents.from_times takes times"
            if name == "step" and column.dtype.kind == "f"
            else ""
        )
        raise InputError(
            f"SpikeEvents: {name}: got shape {column.shape} of {column.dtype}, expected (E,) whole "
            f"numbers{advice}"
        )
    if (wrong := np.flatnonzero((column < 0) | (column >= side))).size:
        first = wrong[0]
        raise InputError(
            f"SpikeEvents: {name}: got {column[first]} for spike {first}, expected 0 to {side - 1}"
        )
    return column


def _whole_shape(sides: Any) -> tuple[int, ...]:
    shape = tuple(sides)
    if len(shape) not in (3, 5) or not all(
        isinstance(side, int | np.integer) and side > 0 for side in shape
    ):
        raise InputError(
            f"SpikeEvents: shape: got {sides}, expected (N, T, C, H, W), or (N, T, K), above 0"
        )
    return tuple(map(int, shape))


def _seconds(times: Any) -> tuple[NDArray[np.float64], float]:
    """(E,) times in seconds, and how far from them the truth may be, because of the type of their
    numbers.
    """
    if hasattr(times, "rescale"):  # a quantity as Neo has them
        times = times.rescale("s").magnitude
    try:
        seconds = np.asarray(on_cpu(times))
    except ValueError as error:
        raise InputError(f"SpikeEvents: time: {finding(error)}, expected (E,) seconds") from None
    if seconds.ndim != 1 or (seconds.size and seconds.dtype.kind not in "iuf"):
        raise InputError(
            f"SpikeEvents: time: got shape {seconds.shape} of {seconds.dtype}, expected (E,) "
            "seconds"
        )
    if (wrong := np.flatnonzero(~np.isfinite(seconds))).size:
        raise InputError(
            f"SpikeEvents: time: got {seconds[wrong[0]]} for spike {wrong[0]}, expected seconds"
        )
    kind = seconds.dtype if seconds.dtype.kind == "f" else np.dtype(np.float64)
    return seconds.astype(np.float64), float(
        2 * np.spacing(np.abs(seconds).max(initial=0).astype(kind))
    )


def _steps(
    times: NDArray[np.float64], slack: float, timesteps: int, dt: float, rounding: str, start: float
) -> NDArray[np.int64]:
    """(E,) the step of each time in seconds; refuses those before the first step or after the
    last.
    """
    if dt <= 0:
        raise InputError(f"SpikeEvents: dt: got {dt!r}, expected seconds in a step, above 0")
    if slack > COARSE * dt:
        raise InputError(
            f"SpikeEvents: time: got numbers that hold times to {slack / 2:.2g} s alone, expected "
            "to less than a "
            f"twentieth of dt = {dt:g} s; give them in float64, or from a later start"
        )
    start, dt = float(start), float(dt)
    position = (times - start) / dt
    near, close = np.rint(position), CLOSE + slack / dt
    on_edge = np.abs(position - near) <= close  # where a step begins
    position[on_edge] = near[on_edge]
    edges = {
        "down": np.floor(position),
        "up": np.ceil(position) - 1,
        "nearest": np.floor(position + 0.5 + close),
    }
    steps, last = edges[rounding], timesteps - 1
    if (wrong := np.flatnonzero((position < 0) | (steps < 0) | (steps > last))).size:
        first, end = wrong[0], start + timesteps * dt
        raise InputError(
            f"SpikeEvents: time: got {times[first]:.9g} s for spike {first}, expected one in steps "
            f"0 to {last} of "
            f"{dt:g} s, rounded {rounding}: from {start:g} s to {end:g} s"
        )
    return steps.astype(np.int64)
