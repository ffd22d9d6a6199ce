"""The spikes of a layer that an edit changes: a mask, channels, rows, columns and steps, checked."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import on_cpu, pack, unpack
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.text import LONGEST_NAME, printable

Indices = int | slice | Iterable[int | slice]

AXES = "(H, W), (C, H, W), (T, C, H, W) or (T, B, C, H, W)"


@dataclass(frozen=True, eq=False)
class Chosen:
    """Neurons and steps of a layer: where `mask` (T, B, C, H, W) and all of `among` (T, C, H, W) are true."""

    mask: NDArray[np.bool_]
    among: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        layer: LayerSpec,
        timesteps: int,
        samples: int,
        mask: ArrayLike | None,
        **among: Indices | None,
    ) -> Chosen:
        """The neurons and steps that :func:`edit` was asked for; refuses those that are not there, and other masks.

        `among` are its `steps`, `channels`, `rows` and `columns`.
        """
        where, sides = f"edit: layer {layer.name!r}", (timesteps, *layer.shape)
        each = [
            positions(among.get(f"{what}s"), side, what, where)
            for what, side in zip(("step", "channel", "row", "column"), sides, strict=True)
        ]
        found = np.zeros(sides, np.bool_)
        found[np.ix_(*(np.array(at, np.intp) for at in each))] = True
        return cls(_mask(mask, (timesteps, samples, *layer.shape), where), found)

    def edited(self, packed: NDArray[np.uint8], row: int, *, fires: bool) -> NDArray[np.uint8]:
        """The packed spikes (T, bytes) of one of the samples, B = `row`, with the chosen ones as `fires` says."""
        here = self.mask[:, row] & self.among
        spikes = unpack(packed[None], here.shape[1:])
        spikes[:, 0][here] = fires
        return pack(spikes)[0]


def positions(asked: Indices | None, count: int, what: str, where: str) -> list[int]:
    """Whole numbers and slices as positions among `count`, all if not given, -1 the last; refuses others as `what`."""
    if asked is None:
        return list(range(count))
    several: Any = asked if isinstance(asked, Iterable) and not isinstance(asked, str) else (asked,)
    found: list[int] = []
    for each in several:
        if isinstance(each, slice):
            within = _within(each, count)
            if not within:
                parts = (each.start, each.stop, each.step)[: 2 + (each.step is not None)]
                shown = printable(":".join("" if part is None else str(part) for part in parts), LONGEST_NAME)
                raise InputError(f"{where}: no {what} in {shown}, expected some of 0 to {count - 1}")
            found += within
            continue
        try:
            at = operator.index(each)
        except TypeError:
            at = None
        if at is None or isinstance(each, (bool, np.bool_)):
            raise InputError(
                f"{where}: got the {what} {printable(repr(each), LONGEST_NAME)}, expected whole numbers or a slice"
            )
        if not -count <= at < count:
            raise InputError(f"{where}: no {what} {at}, expected 0 to {count - 1}")
        found.append(at % count)
    return found


def _within(asked: slice, count: int) -> range:
    try:
        return range(count)[asked]
    except (TypeError, ValueError):
        return range(0)


def _mask(given: ArrayLike | None, full: tuple[int, ...], where: str) -> NDArray[np.bool_]:
    """A mask as (T, B, C, H, W), without copying it."""
    timesteps, samples, *shape = full
    if given is None:
        return np.broadcast_to(np.True_, full)
    try:
        mask = np.asarray(on_cpu(given))
    except ValueError:
        raise InputError(f"{where}: the mask is no array; its rows have other lengths") from None
    if mask.dtype != np.bool_:
        raise InputError(f"{where}: got a mask of {mask.dtype}, expected bool")
    seen = mask.shape
    if mask.ndim == 1 and shape[1:] == [1, 1]:
        mask = mask[:, None, None]
    if mask.ndim == 4:
        mask = mask[:, None]
    sides = full[-mask.ndim :]
    if mask.ndim not in (2, 3, 5) or any(side not in (1, goal) for side, goal in zip(mask.shape, sides, strict=True)):
        sizes = f"T, B, C, H, W = {timesteps}, {samples}, {', '.join(map(str, shape))}"
        raise InputError(f"{where}: got a mask of {seen}, expected {AXES}, with {sizes}, or sides of 1")
    return np.broadcast_to(mask, full)
