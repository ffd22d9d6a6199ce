"""The axes of a layer, where they are not channels, rows and columns: tokens, heads, merged axes.

A pattern names every axis of what a call gives, such as "T B heads N d":

    T       steps; without it a call gives one step
    B       samples
    N       tokens, row by row of a grid H × W
    H W     rows and columns, in place of N
    others  channels: several make one axis, the first of them changing slowest (heads · d)
    (T B)   one axis that holds two; at the end, such as (N C), it may go over several axes of the tensor
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from spikesam.recordings.errors import InputError

Grid = Callable[[int | None], tuple[int, int]]  # number of tokens, None if unknown -> rows and columns of their grid
RESERVED = ("T", "B", "N", "H", "W")


@dataclass(frozen=True)
class Axes:
    """Axes of a tensor of spikes.

    Parameters
    ----------
    pattern : as the caller wrote it
    groups : the names in each axis of the tensor, mostly one
    """

    pattern: str
    groups: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return [name for group in self.groups for name in group]

    def fits(self, ndim: int) -> bool:
        """Whether a tensor of so many axes can be read."""
        return ndim == len(self.groups) or (ndim > len(self.groups) and len(self.groups[-1]) > 1)

    def arrange(self, spikes: Tensor, sizes: Mapping[str, int], grid: Grid) -> Tensor:
        """Spikes with these axes as (S, B, C, H, W); S = 1 where a call gives one step.

        Parameters
        ----------
        sizes : T and B, where they are known; needed to split an axis that holds two
        grid : see :data:`Grid`

        Raises
        ------
        InputError : if the axes do not fit
        """
        if not self.fits(spikes.ndim):
            raise InputError(
                f"got shape {tuple(spikes.shape)}, expected {len(self.groups)} axes, {self.pattern!r}; say with axes= "
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
        rows, columns = grid(size_of["N"]) if space == ["N"] else (size_of.get("H", 1), size_of.get("W", 1))
        depth = math.prod(size_of[name] for name in channels)
        return ordered.reshape(size_of.get("T", 1), size_of["B"], depth, rows, columns)

    def _split(self, side: int, group: tuple[str, ...], sizes: Mapping[str, int], grid: Grid) -> list[int]:
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
                f"got {side} for ({' '.join(group)}) of {self.pattern!r}, expected all sizes but one to be known, and "
                f"to divide it; known: {said}"
            )
        return [known.get(name, rest) for name in group]


def parse(pattern: object) -> Axes:
    """Axes from their pattern.

    Raises
    ------
    InputError : if it does not name samples once, and each axis by a word of its own
    """
    text = pattern if isinstance(pattern, str) else ""
    groups = tuple(tuple(part.strip("()").split()) for part in re.findall(r"\([^()]*\)|[^\s()]+", text))
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
            f"axes: got {pattern!r}, expected a name for each axis, such as 'T B heads N d' or 'T B C H W': B for "
            "samples, T for steps, N for tokens, or H and W, and other words for channels"
        )
    return axes
