"""Layouts of a tensor of spikes: one step, or all steps at once; each layout is a function to
(S, B, …).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from spikesam.common.errors import InputError

Layout = Callable[
    [Tensor], Tensor
]  # spikes as a library lays them out -> (S, B, …), of S ≥ 1 steps


def one_step(spikes: Tensor) -> Tensor:
    """(B, …) of one step."""
    return spikes[None]


def time_first(spikes: Tensor) -> Tensor:
    """(T, B, …)."""
    return spikes


def batch_first(spikes: Tensor) -> Tensor:
    """(B, T, …)."""
    return spikes.transpose(0, 1)


def time_last(spikes: Tensor) -> Tensor:
    """(B, …, T)."""
    return spikes.movedim(-1, 0)


def likely_one_step(spikes: Tensor) -> Tensor:
    """(B, K) or (B, C, H, W) of one step, where nobody said whether it is one; refuses what may be
    several steps.
    """
    if spikes.ndim not in (2, 4):
        raise InputError(
            f"got shape {tuple(spikes.shape)}, expected one step, (B, K) or (B, C, H, W); say "
            "which axis is time with "
            f"layout=, one of {', '.join(LAYOUTS)}, or name all axes, as in 'T B heads N d'"
        )
    return spikes[None]


def merged(batch: int, steps: int) -> Layout:
    """(B·T, …), where one of B and T may be -1 for what is left."""

    def unmerged(spikes: Tensor) -> Tensor:
        return spikes.unflatten(0, (batch, steps)).transpose(0, 1)

    return unmerged


LAYOUTS: dict[str, Layout] = {
    "B...": one_step,
    "TB...": time_first,
    "BT...": batch_first,
    "B...T": time_last,
}


ONE_STEP, TIME_FIRST, BATCH_FIRST, TIME_LAST = "one step", "T first", "B first", "T last"


def order_of(layout: Layout) -> str:
    """Where a layout has the steps; those that are merged with samples stand behind them."""
    orders: dict[Layout, str] = {time_first: TIME_FIRST, time_last: TIME_LAST}
    one_step_alone = layout in (one_step, likely_one_step)
    return orders.get(layout, ONE_STEP if one_step_alone else BATCH_FIRST)


def named_layout(name: str | None) -> Layout:
    """The layout that a caller names; None is the likely one."""
    if name is None:
        return likely_one_step
    if name not in LAYOUTS:
        raise InputError(f"layout: got {name!r}, expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def shape_of_step(step: Tensor) -> tuple[int, int, int]:
    """(C, H, W) of one step of spikes, (B, K), (B, C, L) or (B, C, H, W)."""
    if step.ndim not in (2, 3, 4):
        raise InputError(
            f"got shape {tuple(step.shape)} of a step, expected (B, K), (B, C, L) or (B, C, H, W)"
        )
    channels, *space = step.shape[1:]
    height, width = ([1] * (2 - len(space)) + space) if space else (1, 1)
    return channels, height, width


Grid = Callable[
    [int | None], tuple[int, int]
]  # number of tokens, None if unknown -> rows and columns of their grid
RESERVED = ("T", "B", "N", "H", "W")


@dataclass(frozen=True)
class Axes:
    """Names of the axes of a tensor of spikes; a pattern such as "T B heads N d" names all of them.

    T       steps; without it a call gives one step
    B       samples
    N       tokens, row by row of a grid H × W
    H W     rows and columns, in place of N
    others  channels: several make one axis, the first of them changing slowest (heads · d)
    (T B)   one axis that holds two; at the end, such as (N C), it may go over several axes of the
            tensor
    """

    pattern: str
    groups: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return [name for group in self.groups for name in group]

    @property
    def order(self) -> str:
        """Where the steps stand."""
        if "T" not in self.names:
            return ONE_STEP
        in_front = self.names[: self.names.index("T")]
        if not in_front:
            return TIME_FIRST
        return BATCH_FIRST if in_front == ["B"] else TIME_LAST

    def fits(self, ndim: int) -> bool:
        """True if a tensor of so many axes can be read."""
        return ndim == len(self.groups) or (ndim > len(self.groups) and len(self.groups[-1]) > 1)

    def arrange(self, spikes: Tensor, sizes: Mapping[str, int], grid: Grid) -> Tensor:
        """Spikes with these axes as (S, B, C, H, W), S = 1 for one step; `sizes` has T and B, where
        known.
        """
        if not self.fits(spikes.ndim):
            raise InputError(
                f"got shape {tuple(spikes.shape)}, expected {len(self.groups)} axes, "
                f"{self.pattern!r}; say with axes= "
                "what they are"
            )
        spikes = spikes.flatten(len(self.groups) - 1) if len(self.groups) < spikes.ndim else spikes
        parts = [
            size
            for side, group in zip(spikes.shape, self.groups, strict=True)
            for size in self._split(side, group, sizes, grid)
        ]
        size_of = dict(zip(self.names, parts, strict=True))
        channels = [name for name in self.names if name not in RESERVED]
        space = ["N"] if "N" in size_of else [name for name in ("H", "W") if name in size_of]
        order = [name for name in ("T", "B") if name in size_of] + channels + space
        ordered = spikes.reshape(parts).permute([self.names.index(name) for name in order])
        rows, columns = (
            grid(size_of["N"]) if space == ["N"] else (size_of.get("H", 1), size_of.get("W", 1))
        )
        depth = math.prod(size_of[name] for name in channels)
        return ordered.reshape(size_of.get("T", 1), size_of["B"], depth, rows, columns)

    def _split(
        self, side: int, group: tuple[str, ...], sizes: Mapping[str, int], grid: Grid
    ) -> list[int]:
        """The sizes of the names in one axis."""
        if len(group) == 1:
            return [side]
        known = {name: sizes[name] for name in group if name in sizes}
        if "N" in group:
            known["N"] = math.prod(grid(None))
        unknown = [name for name in group if name not in known]
        rest, left = divmod(side, math.prod(known.values()))
        if len(unknown) > 1 or left or (not unknown and rest != 1):
            said = ", ".join(f"{name} = {size}" for name, size in known.items()) or "none"
            raise InputError(
                f"got {side} for ({' '.join(group)}) of {self.pattern!r}, expected all sizes but "
                f"one to be known, and to divide it; known: {said}"
            )
        return [known.get(name, rest) for name in group]


def parse(pattern: object) -> Axes:
    """Axes from their pattern; an InputError if it does not name samples once, and each axis by a
    word of its own.
    """
    text = pattern if isinstance(pattern, str) else ""
    groups = tuple(
        tuple(part.strip("()").split()) for part in re.findall(r"\([^()]*\)|[^\s()]+", text)
    )
    axes = Axes(text, groups)
    names, left = axes.names, re.sub(r"\([^()]*\)", "", text)
    fine = (
        all(groups)
        and all(name.isidentifier() for name in names)
        and len(set(names)) == len(names)
        and "B" in names
        and ("H" in names) == ("W" in names)
        and not ("N" in names and "H" in names)
        and not set("()") & set(left)
    )
    if not fine:
        raise InputError(
            f"axes: got {pattern!r}, expected a name for each axis, such as 'T B heads N d' or 'T "
            "B C H W': B for samples, T for steps, N for tokens, or H and W, and other words for "
            "channels"
        )
    return axes
