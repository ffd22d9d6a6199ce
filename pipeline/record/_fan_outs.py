"""The number of weights other than 0 that each number arriving at a module meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from spikesam.pipeline.imports.road.kernels import around
from spikesam.pipeline.measures.synaptic_operations import covering

EXACT = 1 << 24  # whole numbers below are exact in float32, and so are their sums
MOST_KEPT = 1 << 10  # fan-outs of patterns of weights
# of a convolution, in order of arguments
GEOMETRY = ("stride", "padding", "dilation", "groups")
TRANSPOSED_GEOMETRY = ("stride", "padding", "output_padding", "groups", "dilation")


@dataclass(frozen=True)
class Form:
    """The way in which numbers that arrive meet weights.

    `sides` are those of maps that arrive at a convolution, none of a matrix; `geometry` is of
    :data:`GEOMETRY` or :data:`TRANSPOSED_GEOMETRY`, as torch takes them.
    """

    sides: tuple[int, ...] = ()
    geometry: Mapping[str, Any] | None = None
    transposed: bool = False

    @property
    def groups(self) -> int:
        """Of channels."""
        return int(self.geometry.get("groups", 1)) if self.geometry else 1

    def counts(self, weight: Tensor) -> Tensor:
        """(C, *kernel) float32: the weights but 0 of each channel, at each place of the kernel.

        Weights are (out, C / groups, *kernel), or (C, out / groups, *kernel) if transposed.
        """
        present = torch.ne(weight, 0, out=torch.empty_like(weight, dtype=torch.float32))
        if self.transposed:
            return present.sum(1)
        if self.groups == 1:
            return present.sum(0)
        return present.unflatten(0, (self.groups, -1)).sum(1).flatten(0, 1)

    def fan_out(self, counts: Tensor) -> Tensor:
        """(C, *sides) float64 of what arrives, of such counts.

        A number at place y of an axis meets row k of the kernel where an output lies so: y + p = s
        o
        + d k of a convolution, o = s y - p + d k of a transposed one, with stride s, padding p and
        dilation d.
        """
        reached = counts.to(torch.float64)
        meeting = _meeting_transposed if self.transposed else _meeting
        for axis, (side, kernel) in enumerate(zip(self.sides, counts.shape[1:], strict=True)):
            meets = meeting(side, kernel, *_of_axis(self.geometry or {}, axis, self.transposed))
            reached = torch.tensordot(reached, meets, ([1], [1]))  # a map's axis for the kernel's
        return reached


class FanOut:
    """The weights but 0 that each number of a row meets, and how many there are with those of 0.

    Sums are taken in float32, which reads a row once, in parts of it that stay below 2²⁴.
    """

    def __init__(self, reached: Tensor, dense: int, device: torch.device, precision: str) -> None:
        flat = reached.flatten()
        self.dense, self.length = dense, len(flat)
        # where a user lets products of float32 be rounded, they are not exact
        short = precision == "highest" and float(flat.max()) < EXACT // 2
        self._parts = blocks(flat, EXACT) if short else [slice(0, len(flat))]
        self._reached = flat.to(device, torch.float32 if short else torch.float64)

    @property
    def meets(self) -> Tensor:
        """(length,) bool: the numbers that meet a weight but 0."""
        return self._reached > 0

    def met_by(self, rows: Tensor) -> Tensor:
        """(rows,) float64: the weights that the numbers of each row meet, of rows of 0 and 1."""
        kind = self._reached.dtype
        if len(self._parts) == 1:
            return (rows.to(kind) @ self._reached).to(torch.float64)
        sums = [rows[:, part].to(kind) @ self._reached[part] for part in self._parts]
        return torch.stack(sums).to(torch.float64).sum(0)


class FanOuts:
    """The fan-outs of weights: those of a model, until they are forgotten, without a look at them;
    others by the pattern of their weights, which is all that matters.
    """

    def __init__(self, is_weight: Callable[[Tensor], bool]) -> None:
        self._is_weight = is_weight
        self._of_weights: dict[Any, FanOut] = {}
        self._of_patterns: dict[Any, FanOut] = {}

    def forget(self) -> None:
        """Look at all weights again: they may be others."""
        self._of_weights.clear()

    def of(self, weight: Tensor, form: Form) -> FanOut:
        """Of weights that meet what arrives in a form."""
        shape, written = tuple(weight.shape), repr(form)
        version = 0 if weight.is_inference() else weight._version
        precision = torch.get_float32_matmul_precision()
        key = written, shape, weight.stride(), weight.data_ptr(), version, precision
        if key in self._of_weights:
            return self._of_weights[key]
        counts = form.counts(weight).cpu()
        pattern = written, shape, weight.device, precision, counts.numpy().tobytes()
        if pattern not in self._of_patterns:
            if len(self._of_patterns) >= MOST_KEPT:
                self._of_patterns.clear()
            outputs = shape[1] if form.transposed else shape[0] // form.groups
            dense = form.fan_out(torch.full_like(counts, outputs)).sum()
            fan_out = FanOut(form.fan_out(counts), round(float(dense)), weight.device, precision)
            self._of_patterns[pattern] = fan_out
        if self._is_weight(weight):
            self._of_weights[key] = self._of_patterns[pattern]
        return self._of_patterns[pattern]


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
    of_axis = padding if isinstance(padding, str) else (padding, padding)
    borders, _ = around(of_axis, (kernel, kernel), (dilation, dilation))
    return torch.from_numpy(covering(side, kernel, stride, borders, dilation)).to(torch.float64)


@lru_cache(maxsize=256)
def _meeting_transposed(
    side: int, kernel: int, stride: int, dilation: int, padding: int, added: int
) -> Tensor:
    """(side, kernel) of 0 and 1: the rows of a transposed kernel by which a place reaches an
    output.
    """
    outputs = (side - 1) * stride - 2 * padding + dilation * (kernel - 1) + added + 1
    reached = stride * torch.arange(side)[:, None] - padding + dilation * torch.arange(kernel)
    return ((reached >= 0) & (reached < outputs)).to(torch.float64)


def blocks(reached: Tensor, limit: int) -> list[slice]:
    """Ranges of a flat fan-out, the sum of each below a limit if no number is half of it."""
    total = reached.cumsum(0)
    if float(total[-1]) < limit:
        return [slice(0, len(reached))]
    half = limit // 2  # that each range may add, but for the number that begins it
    passed = torch.arange(half + 1, float(total[-1]) + 1, half, dtype=total.dtype)
    ends = torch.searchsorted(total, passed).unique()
    ends = ends[ends > 0].tolist()
    return [
        slice(first, last) for first, last in zip([0, *ends], [*ends, len(reached)], strict=True)
    ]
