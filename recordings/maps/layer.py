"""The maps of one layer, as an array that is read sample by sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recordings.layer_view import LayerView

from .schema import MapLayer

if TYPE_CHECKING:
    from .reader import MapReader


class LayerMaps(LayerView[np.float32]):
    """One layer of an open file of maps, made by `maps["conv1"]`.

    `.sum` holds the sums of all samples. `[i]` reads (S, H, W) float32 of sample i, its maps at the steps that the file
    keeps, `[a:b]` reads (S, B, H, W) float32. The length is N.

    Attributes
    ----------
    spec : MapLayer — name, number, shape and steps that matter
    """

    def __init__(self, maps: MapReader, spec: MapLayer) -> None:
        super().__init__(maps.where, (maps.n_samples, len(maps.header.steps), *spec.shape), np.float32)
        self._maps, self.spec = maps, spec

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
        """(N, H, W) float32: sums over the steps that matter, read anew at every call."""
        sums = np.empty((len(self), *self.shape), np.float32)
        for sample in range(len(self)):
            sums[sample] = self._maps.read_sum(self.spec, sample)
        return sums

    def _read(self, sample: int) -> NDArray[np.float32]:
        return self._maps.read(self.spec, sample)
