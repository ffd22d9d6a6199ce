"""Whether a step of spikes has the axes of a convolution: channels, rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

ALIKE = 0.25  # how far the ratios of pooling may lie apart for rows and columns: 7 → 3 and 8 → 4 do


def is_convolution(module: nn.Module) -> bool:
    """Of torch, or of a library: what has kernels and puts out channels."""
    return hasattr(module, "kernel_size") and hasattr(module, "out_channels")


class Convolutions:
    """The convolutions that were called: of maps, and of rows."""

    def __init__(self) -> None:
        self._maps: list[tuple[int, ...]] = []  # (C, H, W) and (C, L), in order

    def forget(self) -> None:
        """None was called so far."""
        self._maps.clear()

    def see(self, module: Any, output: Any) -> None:
        """Take the shape of what a convolution gave."""
        if isinstance(output, Tensor):
            axes = len(module.kernel_size) if isinstance(module.kernel_size, Sequence) else 2
            self._maps.append((module.out_channels, *output.shape[-axes:][:2]))  # lava-dl: (H, W, T)

    def made(self, step: tuple[int, ...]) -> bool:
        """Whether (C, H, W) or (C, L) may be a map: of any before; or of the last, pooled, enlarged, or with others."""
        before = [each for each in self._maps if len(each) == len(step)]
        if step in before or not before:
            return step in before
        channels, *sides = before[-1]
        if len(sides) == 1:
            return channels == step[0] and step[1] <= sides[0]
        rows, columns = (side / now for side, now in zip(sides, step[1:], strict=True))
        return step[0] >= channels and abs(rows - columns) <= ALIKE * max(rows, columns)
