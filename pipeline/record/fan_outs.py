"""How many weights other than 0 each number that arrives at a module meets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

GEOMETRY = ("stride", "padding", "dilation", "groups")  # of a convolution, in order of arguments
TRANSPOSED_GEOMETRY = ("stride", "padding", "output_padding", "groups", "dilation")


def linear_fan_out(weight: Tensor) -> tuple[Tensor, int]:
    """(in,) float32 of a matrix (out, in); and the number of its weights, those of 0 included."""
    return _present(weight).sum(0), weight.numel()


def _present(weight: Tensor) -> Tensor:
    """1 where a weight is not 0, float32, in which sums below 2²⁴ are exact."""
    present = torch.empty_like(weight, dtype=torch.float32)
    return torch.ne(weight, 0, out=present)


def convolution_fan_out(
    weight: Tensor, sides: Sequence[int], geometry: Mapping[str, Any], *, transposed: bool
) -> tuple[Tensor, int]:
    """(C, *sides) float64 of the maps that arrive at a convolution; and their sum if no weight were 0.

    A number at place y of an axis meets row k of the kernel where an output lies so: y + p = s o + d k
    of a convolution, o = s y - p + d k of a transposed one, with stride s, padding p and dilation d.

    Parameters
    ----------
    weight : (out, C / groups, *kernel), or (C, out / groups, *kernel) of a transposed convolution
    geometry : of :data:`GEOMETRY` or :data:`TRANSPOSED_GEOMETRY`, as torch takes them
    """
    groups = geometry.get("groups", 1)
    if transposed:
        channels, outputs = weight.shape[:2]
        reached = _present(weight).sum(1)
    else:
        channels, outputs = groups * weight.shape[1], len(weight) // groups
        grouped = _present(weight).unflatten(0, (groups, outputs))
        reached = grouped.sum(1).flatten(0, 1)
    meeting = _meeting_transposed if transposed else _meeting
    reached, dense = reached.to("cpu", torch.float64), channels * outputs
    for axis, (side, kernel) in enumerate(zip(sides, weight.shape[2:], strict=True)):
        meets = meeting(side, kernel, *_of_axis(geometry, axis, transposed))
        dense *= int(meets.sum())
        reached = torch.tensordot(reached, meets, ([1], [1]))  # a map's axis for the kernel's
    return reached, dense


def _of_axis(geometry: Mapping[str, Any], axis: int, transposed: bool) -> tuple[Any, ...]:
    """Stride, dilation, padding and what else is added at the end, of one axis."""

    def size(name: str, default: int) -> int:
        value = geometry.get(name, default)
        return int(value[axis if len(value) > 1 else 0] if isinstance(value, Sequence) else value)

    padding = geometry.get("padding", 0)
    return (
        size("stride", 1),
        size("dilation", 1),
        padding if isinstance(padding, str) else size("padding", 0),
        size("output_padding", 0) if transposed else 0,
    )


@lru_cache(maxsize=256)
def _meeting(
    side: int, kernel: int, stride: int, dilation: int, padding: int | str, added: int
) -> Tensor:
    """(side, kernel) of 0 and 1: the rows of a kernel that a place of one axis meets, float64."""
    extent = dilation * (kernel - 1)
    in_front, behind = (0, 0) if padding == "valid" else (padding, padding)
    if padding == "same":
        in_front, behind = extent // 2, extent - extent // 2
    outputs = (side + int(in_front) + int(behind) - extent - 1) // stride + 1
    begins = torch.arange(side)[:, None] + int(in_front) - dilation * torch.arange(kernel)
    meets = (begins >= 0) & (begins % stride == 0) & (begins // stride < outputs)
    return meets.to(torch.float64)


@lru_cache(maxsize=256)
def _meeting_transposed(
    side: int, kernel: int, stride: int, dilation: int, padding: int, added: int
) -> Tensor:
    """(side, kernel) of 0 and 1: the rows of a transposed kernel by which a place reaches an output."""
    outputs = (side - 1) * stride - 2 * padding + dilation * (kernel - 1) + added + 1
    reached = stride * torch.arange(side)[:, None] - padding + dilation * torch.arange(kernel)
    return ((reached >= 0) & (reached < outputs)).to(torch.float64)


def blocks(reached: Tensor, limit: int) -> list[slice]:
    """Ranges of a flat fan-out, the sum of each below a limit if no number is half of it."""
    number = (reached.cumsum(0) - 1).clamp(min=0) // (limit // 2)
    ends = (torch.nonzero(number.diff()).flatten() + 1).tolist()
    return [
        slice(first, last) for first, last in zip([0, *ends], [*ends, len(reached)], strict=True)
    ]
