"""How a tensor of spikes is laid out: one step, or all steps at once; each layout is a function to (S, B, …)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from spikesam.recordings.errors import InputError

Layout = Callable[[Tensor], Tensor]  # spikes as a library lays them out -> (S, B, …), of S ≥ 1 steps


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
    """(B, K) or (B, C, H, W) of one step, where nobody said whether it is one; refuses what may be several steps."""
    if spikes.ndim not in (2, 4):
        raise InputError(
            f"got shape {tuple(spikes.shape)}, expected one step, (B, K) or (B, C, H, W); say which axis is time with "
            f"layout=, one of {', '.join(LAYOUTS)}, or name all axes, as in 'T B heads N d'"
        )
    return spikes[None]


def merged(batch: int, steps: int) -> Layout:
    """(B·T, …), where one of B and T may be -1 for what is left."""

    def unmerged(spikes: Tensor) -> Tensor:
        return spikes.unflatten(0, (batch, steps)).transpose(0, 1)

    return unmerged


LAYOUTS: dict[str, Layout] = {"B...": one_step, "TB...": time_first, "BT...": batch_first, "B...T": time_last}


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
        raise InputError(f"got shape {tuple(step.shape)} of a step, expected (B, K), (B, C, L) or (B, C, H, W)")
    channels, *space = step.shape[1:]
    height, width = ([1] * (2 - len(space)) + space) if space else (1, 1)
    return channels, height, width
