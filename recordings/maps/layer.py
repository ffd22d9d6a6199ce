"""The maps of one layer, as an array that is read sample by sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recordings.view import LayerView

from .schema import MapLayer


class LayerMaps(LayerView[np.float32]):
    """One layer of an open file of maps, made by `maps["conv1"]`.

    `[i]` reads (T, H, W) float32 of sample i, `[a:b]` reads (T, B, H, W) float32. The length is N.

    Attributes
    ----------
    spec : MapLayer — name, number, shape and steps that matter
    """

    def __init__(
        self,
        where: object,
        n_samples: int,
        timesteps: int,
        spec: MapLayer,
        read: Callable[[MapLayer, int], NDArray[np.float32]],
    ) -> None:
        super().__init__(where, n_samples, (timesteps, *spec.shape), np.float32)
        self.spec, self._read_maps = spec, read

    @property
    def name(self) -> str:
        """Such as "conv1"."""
        return self.spec.name

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.spec.shape

    @property
    def steps_that_matter(self) -> int:
        """How many of the first steps can still change the answer."""
        return self.spec.steps_that_matter

    @property
    def sum(self) -> NDArray[np.float32]:
        """(N, H, W) float32: sums over the steps that matter; reads one sample at a time."""
        sums = np.empty((len(self), *self.shape), np.float32)
        for sample, maps in enumerate(self):
            maps[: self.steps_that_matter].sum(axis=0, out=sums[sample])
        return sums

    def _read(self, sample: int) -> NDArray[np.float32]:
        return self._read_maps(self.spec, sample)
