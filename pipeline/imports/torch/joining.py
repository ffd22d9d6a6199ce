"""Where two streams meet: sums of layers, sums over steps, and concatenations of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from spikesam.pipeline.imports.road.operations import NOTHING, Junction, Path
from spikesam.pipeline.imports.torch.stream import SUM, Stream, agreed


def zeros(tensor: Tensor, samples: int) -> Stream | None:
    """A tensor of zeros made in front of the first step, (B, …): nothing has fired yet."""
    if tensor.ndim < 2 or len(tensor) != samples or tensor.any():
        return None
    where = torch.arange(tensor.numel(), device=tensor.device).view(tensor.shape)
    return Stream(where, tensor.numel() // samples, Path(NOTHING, lag=None))


def added(one: Stream, two: Stream, samples: int, where: str) -> Stream | str:
    """A sum of two streams, over steps where they are the same neurons at different ones; or what it cannot be."""
    total = _over_steps(one, two, samples)
    if total is not None:
        return total
    if one.size != two.size or not torch.equal(one.within(samples), two.within(samples)):
        one, two = one.ordered, two.ordered  # others are alike as they are, such as tokens (N, C) of maps (C, H, W)
    if one.where.shape != two.where.shape or one.size != two.size:
        return f"a sum of unequal shapes, {tuple(one.where.shape)} and {tuple(two.where.shape)}"
    together = at_one_time((one, two), [each.steps(samples) for each in (one, two)])
    if one.summed or two.summed or together is None or not torch.equal(one.within(samples), two.within(samples)):
        return "a sum of different neurons or steps"
    steps, paths = together
    places = steps * (samples * one.size) + one.within(samples)
    return Stream(places, one.size, Path(Junction(where, "sum", paths), lag=None))


def concatenated_streams(streams: Sequence[Stream], axis: int, samples: int, where: str) -> Stream | str:
    """Channels of several streams, one behind the other; or what it cannot be."""
    streams = [stream.ordered for stream in streams]
    steps = [stream.steps(samples) for stream in streams]
    first = [each.narrow(axis, 0, 1) for each in steps]
    if any(stream.summed for stream in streams) or any(map(_differ, steps, first)):
        return "along another axis than channels"
    together = at_one_time(streams, first)
    if together is None:
        return "of different steps"
    latest, paths = together
    total, before, places = sum(stream.size for stream in streams), 0, []
    for stream in streams:
        row = latest * samples + stream.within(samples) // stream.size
        places.append(row * total + before + stream.where % stream.size)
        before += stream.size
    return Stream(torch.cat(places, axis), total, Path(Junction(where, "concatenation", paths), lag=None))


def at_one_step(stream: Stream, samples: int) -> Stream | None:
    """A stream of one step as a sum over that step; sums as they are; None if it is of several steps."""
    if stream.summed:
        return stream
    steps = stream.steps(samples).unique()
    if stream.static or len(steps) > 1:
        return None
    path = bare(stream.path) + SUM
    return replace(stream, where=stream.within(samples), path=path, summed=frozenset(steps.tolist()))


def bare(path: Path) -> Path:
    """A path without the zeros that were added to it."""
    source = path.source
    if not isinstance(source, Junction):
        return path
    branches = tuple(map(bare, source.branches))
    if source.kind == "sum":
        branches = tuple(branch for branch in branches if branch.source != NOTHING) or branches[:1]
    if len(branches) == 1 and source.kind != "attention":
        return replace(branches[0], operations=(*branches[0].operations, *path.operations))
    return replace(path, source=replace(source, branches=branches))


def _over_steps(one: Stream, two: Stream, samples: int) -> Stream | None:
    """A sum of the same neurons at different steps."""
    first, second = at_one_step(one, samples), at_one_step(two, samples)
    if first is None or second is None or first.summed & second.summed:
        return None
    path = agreed(first.path, second.path, (first.summed, second.summed))
    if path is None or not torch.equal(first.where, second.where):
        return None
    return replace(first, path=path, summed=first.summed | second.summed)


def at_one_time(streams: Sequence[Stream], steps: Sequence[Tensor]) -> tuple[Tensor, tuple[Path, ...]] | None:
    """The steps of the latest of several streams, and how all of them stand then; None if they drift apart."""
    latest = max(
        (each for stream, each in zip(streams, steps, strict=True) if not stream.static),
        key=lambda each: int(each.max()),
        default=steps[0],
    )
    paths = []
    for stream, each in zip(streams, steps, strict=True):
        lags = (latest - each).unique()
        if not stream.static and len(lags) > 1:
            return None
        paths.append(stream.path.later(int(lags[0])))
    return latest, tuple(paths)


def _differ(one: Tensor, two: Tensor) -> bool:
    return bool((one != two).any())
