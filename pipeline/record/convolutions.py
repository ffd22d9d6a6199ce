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
    """The convolutions that were called, of maps and of rows, and the model's own input."""

    def __init__(self) -> None:
        self._maps: dict[tuple[int, ...], None] = {}  # (C, H, W) and (C, L), each once, the last one called at the end
        self._given: tuple[int, ...] = ()  # (C, H, W) of the input

    def begin(self, inputs: Sequence[Any]) -> None:
        """None was called so far, in a pass with these inputs."""
        self._maps.clear()
        given = next((each for each in inputs if isinstance(each, Tensor)), None)
        self._given = tuple(given.shape[-3:]) if given is not None and given.ndim > 3 else ()

    def see(self, module: Any, output: Any) -> None:
        """Take the shape of what a convolution gave."""
        if isinstance(output, Tensor):
            axes = len(module.kernel_size) if isinstance(module.kernel_size, Sequence) else 2
            shape = (module.out_channels, *output.shape[-axes:][:2])  # lava-dl: (H, W, T)
            self._maps.pop(shape, None)
            self._maps[shape] = None

    def made(self, step: tuple[int, ...]) -> bool:
        """Whether (C, H, W) or (C, L) may be a map: of any before, or made of the last one without a convolution.

        That is: pooled, by one factor for rows and columns, to a pixel or otherwise; enlarged by one factor, where
        channels may become pixels; with further channels. The input is a map, too.
        """
        before = [each for each in self._maps if len(each) == len(step)]
        if step in before or step == self._given or (len(step) == 3 and step[1:] == (1, 1)):
            return True
        if not before:
            return False
        (channels, *sides), now = before[-1], step[1:]
        if len(sides) == 1:
            return channels == step[0] and now[0] <= sides[0]
        ratios = [side / each for side, each in zip(sides, now, strict=True)]
        alike = abs(ratios[0] - ratios[1]) <= ALIKE * max(ratios) or _pooled(sides, now)
        factor = now[0] // sides[0]
        shuffled = [factor * side for side in sides] == list(now) and step[0] * factor**2 == channels
        return shuffled or (step[0] >= channels and alike)


def _pooled(sides: Sequence[int], now: Sequence[int]) -> bool:
    """Whether one factor leads from some sides to others, to a pixel."""
    factors = range(1, max(sides) + 1)
    return any(all(abs(side / k - each) < 1 for side, each in zip(sides, now, strict=True)) for k in factors)
