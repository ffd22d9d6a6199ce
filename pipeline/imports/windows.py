"""Windows of pooling: their sides, and whether a layer of a network can have them in front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from spikesam.pipeline.imports.kernels import Pair


def geometry(module: Any) -> tuple[Pair, Pair, Pair]:
    """Window, stride and padding of a pooling; one of rows has height 1."""
    row = isinstance(module, (nn.MaxPool1d, nn.AvgPool1d))
    one, none = (1, 0) if row else (None, None)
    return pair_of(module.kernel_size, one), pair_of(module.stride, one), pair_of(module.padding, none)


def pair_of(value: Any, height: int | None = None) -> Pair:
    """(y, x) of what torch takes: a number, or a tuple; of rows with the height given."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if height is not None:
        numbers = (height, *numbers)
    return numbers[0], numbers[-1]


def dilation(module: Any) -> Pair:
    """(y, x) of a maximum pooling."""
    return pair_of(module.dilation, 1 if isinstance(module, nn.MaxPool1d) else None)


def overlap(module: Any, shape: Sequence[int]) -> bool:
    """Whether windows overlap, leave something of a map over, or reach past its border; `shape` ends with its sides."""
    window, stride, padding = geometry(module)
    height, width = (1 if isinstance(module, nn.MaxPool1d) else shape[-2]), shape[-1]
    divides = height % window[0] == width % window[1] == 0
    return window != stride or not divides or padding != (0, 0) or dilation(module) != (1, 1)
