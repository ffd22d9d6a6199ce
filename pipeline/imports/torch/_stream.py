"""The stream through a model: which step, sample and neuron each number of a tensor belongs to, and
what led to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikesam.pipeline.imports.road.operations import (
    NOTHING,
    ByStep,
    Junction,
    Operation,
    Order,
    Path,
    Scale,
    Shift,
    Silent,
    TimeSum,
)

RELAYED = "/max"  # behind the name of a module: neurons that pool its spikes
GATE = "/and"  # neurons that fire where its spikes and others meet
OR = "/or"  # neurons that fire where any of its spikes and of others is
# neurons that fire where sums of its spikes and others, or differences, reach a number
COUNT = "/count"

SUM = Operation("the sum over steps", TimeSum())


def _at(operation: Operation, steps: frozenset[int]) -> dict[int, tuple[Operation, ...]]:
    """The operation at each step."""
    return (
        operation.what.at
        if isinstance(operation.what, ByStep)
        else dict.fromkeys(steps, (operation,))
    )


def _of_numbers(operation: Operation) -> bool:
    """True if it is a gain and a shift of each channel, which may differ from step to step."""
    return isinstance(operation.what, (Scale, Shift, ByStep, nn.modules.batchnorm._BatchNorm))


def agreed(
    first_path: Path, second_path: Path, steps: tuple[frozenset[int], frozenset[int]]
) -> Path | None:
    """One path for two calls, where zeros stand for whatever is in the other; None if they differ.

    Zeros that a model has in place of currents have no bias: there the path is silent.
    """
    if first_path == second_path:
        return first_path
    shorter = len(_silences(second_path)[0]) < len(_silences(first_path)[0])
    if second_path.source == NOTHING and (first_path.source != NOTHING or shorter):
        first_path, second_path, steps = second_path, first_path, steps[::-1]
    first_operations, first_silences = _silences(first_path)
    second_operations, silences_of_both = _silences(second_path)
    for place, silent in first_silences.items():
        silences_of_both[place] = silences_of_both.get(place, frozenset()) | silent
    first, second = first_path.source, second_path.source
    place = len(first_operations)  # where zeros stand, counted from the end
    # operations in front of them
    hidden = max(0, len(second_operations) - place) if first == NOTHING else 0
    operations = _operations_agreed(first_operations, second_operations[hidden:], steps)
    if operations is None:
        return None
    source: str | Junction | None = second
    if isinstance(first, Junction) and isinstance(second, Junction):
        source = _junctions_agreed(first, second, steps)
    elif first == NOTHING:
        if hidden or not _silent_anyway(second_path, steps[0]):
            silences_of_both[place] = silences_of_both.get(place, frozenset()) | steps[0]
    elif (first, first_path.lag) != (second, second_path.lag):
        source = None
    if source is None:
        return None
    return _with_silences(
        replace(second_path, source=source, operations=(*second_operations[:hidden], *operations)),
        silences_of_both,
    )


def _junctions_agreed(
    first_junction: Junction,
    second_junction: Junction,
    steps: tuple[frozenset[int], frozenset[int]],
) -> Junction | None:
    """One junction for two calls, see :func:`agreed`."""
    if (first_junction.kind, first_junction.heads, len(first_junction.branches)) != (
        second_junction.kind,
        second_junction.heads,
        len(second_junction.branches),
    ):
        return None
    pairs = zip(first_junction.branches, second_junction.branches, strict=True)
    branches = [agreed(*pair, steps) for pair in pairs]
    alike = tuple(branch for branch in branches if branch is not None)
    return replace(first_junction, branches=alike) if len(alike) == len(branches) else None


def _silences(path: Path) -> tuple[list[Operation], dict[int, frozenset[int]]]:
    """The operations of a path, and where it is silent: how many stand behind -> at which steps."""
    operations = [
        operation for operation in path.operations if not isinstance(operation.what, Silent)
    ]
    silences: dict[int, frozenset[int]] = {}
    place = len(operations)
    for operation in path.operations:
        if isinstance(operation.what, Silent):
            silences[place] = silences.get(place, frozenset()) | operation.what.steps
        else:
            place -= 1
    return operations, silences


def _with_silences(path: Path, silences: Mapping[int, frozenset[int]]) -> Path:
    """A path without silences, and these, see :func:`_silences`."""
    operations = list(path.operations)
    for place, steps in sorted(silences.items()):  # from the end
        path_in_front = replace(
            path, operations=tuple(path.operations[: len(path.operations) - place])
        )
        operations.insert(
            len(path.operations) - place, Operation(path_in_front.last, Silent(steps))
        )
    return replace(path, operations=tuple(operations))


def _silent_anyway(path: Path, steps: frozenset[int]) -> bool:
    """True if nothing can have arrived at these steps of what a path begins with."""
    if path.source == NOTHING:
        return True
    lag = path.lag if isinstance(path.source, str) else None
    return lag is not None and max(steps, default=-1) < np.min(lag)


def _operations_agreed(
    first_operations: Sequence[Operation],
    second_operations: Sequence[Operation],
    steps: tuple[frozenset[int], frozenset[int]],
) -> list[Operation] | None:
    """Operations of two calls, at some steps each, as those of both."""
    together = []
    for first, second in zip(first_operations, second_operations, strict=False):
        if first == second:
            together.append(first)
            continue
        at_first_steps, at_second_steps = _at(first, steps[0]), _at(second, steps[1])
        by_step = at_first_steps | at_second_steps
        if not (_of_numbers(first) and _of_numbers(second)):
            return None
        if by_step != at_second_steps | at_first_steps:
            return None
        together.append(Operation(first.label, ByStep(by_step)))
    return together if len(first_operations) == len(second_operations) else None


def differing_weights(first_path: Path, second_path: Path) -> tuple[str, str] | None:
    """The place where two calls of a source pass through other weights; None if they differ in
    other ways.
    """
    (first, _), (second, _) = _silences(first_path), _silences(second_path)
    alike = first_path.source == second_path.source and len(first) == len(second)
    pairs = [pair for pair in zip(first, second, strict=False) if alike and pair[0] != pair[1]]
    of_kind = (
        pair
        for pair in pairs
        if type(pair[0].what) is type(pair[1].what) and not _of_numbers(pair[0])
    )
    return next(((first.label, second.label) for first, second in of_kind), None)


def all_agreed(streams: Sequence[Stream], samples: int) -> Path | None:
    """One path for several calls, at least one; see :func:`agreed`."""
    path: Path | None = streams[0].path
    if any(stream.path != path for stream in streams):
        steps_seen = streams[0].at(samples)
        for stream in streams[1:]:
            steps = stream.at(samples)
            path = path and agreed(path, stream.path, (steps_seen, steps))
            steps_seen |= steps
    return path


@dataclass(frozen=True, eq=False)
class Stream:
    """A tensor that comes from the example; `places`, of its shape, has (t·B + b)·size + n of each
    number.
    """

    places: Tensor
    size: int  # how many neurons n there are in a sample
    path: Path  # what led to it
    summed: frozenset[int] = (
        frozenset()
    )  # the steps that were summed into it, where t = 0 stands for them
    moved: str = "a permutation"  # what moved numbers last, for messages

    @property
    def static(self) -> bool:
        """True if it is the same at every step, and t = 0 stands for all."""
        return all(leaf.lag is None for leaf in self.path.leaves)

    def rearranged(self, places: Tensor, by: str = "") -> Stream:
        """These numbers at other places of a tensor, and what moved them there."""
        stayed = not by or torch.equal(places.flatten(), self.places.flatten())
        return replace(self, places=places, moved=self.moved if stayed else by)

    @property
    def ordered(self) -> Stream:
        """These numbers, counted in the order in which the tensor has them; JumbledError if samples
        differ in it.
        """
        if self._first_axis is not None and self._in_order(self.places):
            return self
        return self.counted

    @property
    def counted(self) -> Stream:
        """These numbers, counted anew: all that a tensor has of a sample's step are its neurons,
        also the same ones twice.
        """
        rows, order_of_rows = (self.places // self.size).flatten().sort(stable=True)
        if rows[0] < 0:  # written in part
            return self
        count = len(rows.unique_consecutive())
        if len(rows) % count:
            raise JumbledError
        rows, orders = (
            numbers.view(count, -1)
            for numbers in (rows, (self.places % self.size).flatten()[order_of_rows])
        )
        if (orders != orders[0]).any() or (rows != rows[:, :1]).any():
            raise JumbledError
        if torch.equal(orders[0], self._numbers):
            return self
        size, order = orders.shape[1], Operation(self.moved, Order(tuple(orders[0].tolist())))
        numbered_places = torch.empty_like(order_of_rows)
        numbered_places[order_of_rows] = (
            rows * size + torch.arange(size, device=rows.device)
        ).flatten()
        return replace(
            self, places=numbered_places.view(self.places.shape), size=size, path=self.path + order
        )

    @property
    def channels_last(self) -> bool:
        """True if they are maps (H, W, C) or tokens (N, C), as recordings are told by names of
        axes.
        """
        axis = self._first_axis
        return axis is not None and self._in_order(self.places.movedim(-1, axis))

    @property
    def _first_axis(self) -> int | None:
        """The first of the last axes that hold all neurons."""
        return next(
            (
                axis
                for axis in range(self.places.ndim)
                if self.places.shape[axis:].numel() == self.size
            ),
            None,
        )

    def _in_order(self, places: Tensor) -> bool:
        """True if the last axes are all neurons, counted from 0."""
        return bool(
            (places % self.size).eq(self._numbers.view(places.shape[self._first_axis :])).all()
        )

    @property
    def _numbers(self) -> Tensor:
        return torch.arange(self.size, device=self.places.device)

    def along(self, path: Path) -> Stream:
        """These numbers after another path."""
        return replace(self, path=path)

    def then(self, operation: Operation) -> Stream:
        """These neurons after an operation on each of them."""
        return self.along(self.path + operation)

    def steps(self, samples: int) -> Tensor:
        """t of each number."""
        return self.places // (samples * self.size)

    def at(self, samples: int) -> frozenset[int]:
        """The steps that its numbers are of."""
        return self.summed or steps_present(self.places, samples * self.size)

    def within(self, samples: int) -> Tensor:
        """b·size + n of each number."""
        return self.places % (samples * self.size)


def unchanging(tensor: Tensor, axis: int) -> bool:
    """True if a tensor is the same all along an axis."""
    return bool((tensor == tensor.narrow(axis, 0, 1)).all())


def in_time(places: Tensor, axis: int, numbers: int) -> Tensor:
    """Numbers that are equal at every step, as those of each step along an axis of so many."""
    steps = torch.arange(places.shape[axis], device=places.device).view(
        -1, *[1] * (places.ndim - axis - 1)
    )
    return places + steps * numbers


def steps_present(places: Tensor, numbers: int) -> frozenset[int]:
    """The steps of the numbers of a tensor, of which each step has so many."""
    present = places[places >= 0] // numbers
    return frozenset(present.bincount().nonzero().flatten().tolist())


@dataclass(frozen=True)
class Lost:
    """A tensor that comes from the example in a way that is not known."""

    reason: str


@dataclass(frozen=True)
class Limited(Lost):
    """Numbers of a stream, limited to 0 … `most`: neurons that fire so many spikes, once they are
    rounded.

    With `half`, 1/2 is added already, so that they must be rounded down.
    """

    stream: Stream
    most: int
    half: bool = False


@dataclass(frozen=True)
class Bordered(Lost):
    """A map with a border of zeros, into a part of which other numbers were written; `stream` is
    what it was before.
    """

    stream: Stream


@dataclass(frozen=True, eq=False)
class Product:
    """Sums of products of two streams, as of q and kᵀ; an axis of both that the product lacks is
    summed over.
    """

    label: str  # of what multiplies, for messages
    streams: tuple[tuple[Stream, tuple[int, ...]], ...]  # with the axes of each
    axes: tuple[int, ...]
    factor: float = 1.0

    @property
    def named(self) -> str:
        """Its streams, for messages."""
        return " and ".join(dict.fromkeys(stream.path.last for stream, _ in self.streams))


Followed = Stream | Lost | Product


class LostError(Exception):
    """The reason why what a function gives cannot be followed."""


class JumbledError(LostError):
    """An operation sees the numbers of a sample in an order it cannot have."""


def need(true: Any, why: str) -> None:
    """Lose what a function gives, for a reason."""
    if not true:
        raise LostError(why)


def mapped(
    stream: Stream, axes: int, operation: Operation, size: int, shape: tuple[int, ...]
) -> Stream:
    """The stream behind an operation on the last `axes` axes, each sample's map of a step; else a
    JumbledError.
    """
    stream = stream.ordered
    if stream.places.shape[-axes:].numel() != stream.size:  # such as a channel, joined with itself
        stream = stream.counted
    maps = stream.places.flatten(-axes) if axes > 1 else stream.places
    samples = maps // stream.size
    if maps.shape[-1] != stream.size or (samples != samples[..., :1]).any():
        raise JumbledError
    places = samples[..., :1] * size + torch.arange(size, device=samples.device)
    return replace(stream, places=places.reshape(shape), size=size, path=stream.path + operation)


def zeros(tensor: Tensor, samples: int) -> Stream | None:
    """A tensor of zeros made in front of the first step, (B, …): nothing has fired yet."""
    if tensor.ndim < 2 or len(tensor) != samples or tensor.any():
        return None
    places = torch.arange(tensor.numel(), device=tensor.device).view(tensor.shape)
    return Stream(places, tensor.numel() // samples, Path(NOTHING, lag=None))


def added(first: Stream, second: Stream, samples: int, label: str) -> Stream:
    """A sum of two streams, over steps where they are the same neurons at different ones; else a
    LostError.
    """
    total = _over_steps(first, second, samples)
    if total is not None:
        return total
    places, paths = aligned(first, second, samples)
    return Stream(places, second.size, Path(Junction(label, "sum", paths), lag=None))


def aligned(first: Stream, second: Stream, samples: int) -> tuple[Tensor, tuple[Path, ...]]:
    """The places of the numbers of two streams that meet neuron by neuron, and the paths of both
    then; else a LostError.
    """
    if first.size != second.size or not torch.equal(first.within(samples), second.within(samples)):
        first, second = (
            first.ordered,
            second.ordered,
        )  # others are alike as they are, such as tokens (N, C) of maps (C, H, W)
    shapes, unlike = (
        [tuple(stream.places.shape) for stream in (first, second)],
        "a sum of different neurons or steps",
    )
    need(
        shapes[0] == shapes[1] and first.size == second.size,
        f"a sum of unequal shapes, {shapes[0]} and {shapes[1]}",
    )
    steps, paths = at_one_time(
        (first, second), [stream.steps(samples) for stream in (first, second)], unlike
    )
    need(
        not (first.summed or second.summed)
        and torch.equal(first.within(samples), second.within(samples)),
        unlike,
    )
    return steps * (samples * first.size) + first.within(samples), paths


def concatenated_streams(streams: Sequence[Stream], axis: int, samples: int, label: str) -> Stream:
    """Channels of several streams, one behind the other; else a LostError."""
    streams = [stream.ordered for stream in streams]
    steps = [stream.steps(samples) for stream in streams]
    first = [steps_of_stream.narrow(axis, 0, 1) for steps_of_stream in steps]
    apart = any(stream.summed for stream in streams) or not all(
        map(unchanging, steps, [axis] * len(steps))
    )
    need(not apart, "along another axis than channels")
    latest, paths = at_one_time(streams, first, "of different steps")
    total, offset, places = sum(stream.size for stream in streams), 0, []
    for stream in streams:
        row = latest * samples + stream.within(samples) // stream.size
        places.append(row * total + offset + stream.places % stream.size)
        offset += stream.size
    return Stream(
        torch.cat(places, axis), total, Path(Junction(label, "concatenation", paths), lag=None)
    )


def at_one_step(stream: Stream, samples: int) -> Stream | None:
    """A stream of one step as a sum over that step; sums as they are; None if it is of several
    steps.
    """
    if stream.summed:
        return stream
    steps = stream.steps(samples).unique()
    if stream.static or len(steps) > 1:
        return None
    path = bare(stream.path) + SUM
    return replace(
        stream, places=stream.within(samples), path=path, summed=frozenset(steps.tolist())
    )


def bare(path: Path) -> Path:
    """A path without the zeros that were added to it."""
    source = path.source
    if not isinstance(source, Junction):
        return path
    branches = tuple(map(bare, source.branches))
    if source.kind in ("sum", "gate"):
        branches = tuple(branch for branch in branches if branch.source != NOTHING) or branches[:1]
    if len(branches) == 1 and source.kind != "attention":
        return replace(branches[0], operations=(*branches[0].operations, *path.operations))
    return replace(path, source=replace(source, branches=branches))


def _over_steps(first_stream: Stream, second_stream: Stream, samples: int) -> Stream | None:
    first, second = at_one_step(first_stream, samples), at_one_step(second_stream, samples)
    if first is None or second is None or first.summed & second.summed:
        return None
    path = agreed(first.path, second.path, (first.summed, second.summed))
    if path is None or not torch.equal(first.places, second.places):
        return None
    return replace(first, path=path, summed=first.summed | second.summed)


def at_one_time(
    streams: Sequence[Stream], steps: Sequence[Tensor], unlike: str
) -> tuple[Tensor, tuple[Path, ...]]:
    """The steps of the latest of several streams, and how all of them stand then; else `unlike` is
    the LostError.
    """
    latest = max(
        (
            stream_steps
            for stream, stream_steps in zip(streams, steps, strict=True)
            if not stream.static
        ),
        key=lambda stream_steps: int(stream_steps.max()),
        default=steps[0],
    )
    paths = []
    for stream, stream_steps in zip(streams, steps, strict=True):
        lags = (latest - stream_steps).unique()
        need(stream.static or len(lags) == 1, unlike)
        paths.append(stream.path.later(int(lags[0])))
    return latest, tuple(paths)
