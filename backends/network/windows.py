"""Windows: the places of a map that a maximum pooling of currents sees together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


class Windows(NamedTuple):
    """The windows of a maximum pooling of currents, in (y, x): of single currents by default.

    They begin at -padding, a stride apart, as many as fit; what lies outside the map is never the
    maximum.
    """

    sides: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def fit(self, map_sides: Iterable[int]) -> tuple[int, int]:
        """The number that fits a map of (H, W), down and across; less than 1 where none does."""
        down, across = (
            (side + 2 * padding - window) // stride + 1
            for side, window, stride, padding in zip(map_sides, *self, strict=True)
        )
        return down, across

    def within(self, map_sides: Iterable[int]) -> Windows:
        """Windows with the same maxima over a map of (H, W), whose padding is as small as can be
        where it is wider than the map.

        A padding is at most half a window, rounded up. If it is wider than the map, each window
        sees all of the map; as many windows, one place apart, see all of it with less padding.
        """
        map_sides = tuple(map_sides)
        axes = []
        for side, count, window, stride, padding in zip(
            map_sides, self.fit(map_sides), *self, strict=True
        ):
            windows_that_see_all = side + count - 1, 1, count - 1
            axes.append(windows_that_see_all if padding > side else (window, stride, padding))
        return Windows(*zip(*axes, strict=True))

    def cells(self, currents: NDArray[np.float64]) -> NDArray[np.float64]:
        """The currents of each window: (…, H, W) -> (…, H', W', y·x), row by row; -inf outside the
        map.
        """
        (y, x), (down, across), (above, beside) = self
        border = *[(0, 0)] * (currents.ndim - 2), (above, above), (beside, beside)
        padded = np.pad(currents, border, constant_values=-np.inf)
        windows: NDArray[Any] = sliding_window_view(padded, (y, x), axis=(-2, -1))
        windows = windows[..., ::down, ::across, :, :]
        return windows.reshape(*windows.shape[:-2], y * x)


NO_POOLING = Windows()
