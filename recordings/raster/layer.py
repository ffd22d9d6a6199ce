"""The spikes of one layer, as an array that is read sample by sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recordings.layer_view import LayerView

from .batch import unpack
from .schema import LayerSpec

if TYPE_CHECKING:
    from .reader import RasterReader


class RecordedLayer(LayerView[np.bool_]):
    """One layer of an open raster, made by `raster["conv1"]`.

    `[i]` reads (T, C, H, W) bool of sample i, `[a:b]` reads (T, B, C, H, W) bool. The length is N.

    Attributes
    ----------
    spec : LayerSpec — name, number, kind, threshold and leak
    """

    def __init__(self, raster: RasterReader, spec: LayerSpec) -> None:
        super().__init__(raster.where, (raster.n_samples, raster.timesteps, *spec.shape), np.bool_)
        self._raster, self.spec = raster, spec

    @property
    def name(self) -> str:
        """Such as "conv1"."""
        return self.spec.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W); dense layers (C, 1, 1)."""
        return self.spec.shape

    @property
    def counts(self) -> NDArray[np.uint32]:
        """(N, T) uint32 number of spikes."""
        return self._raster.counts(self.spec)

    @property
    def steps_that_matter(self) -> int:
        """How many of the first steps can still change the answer."""
        return self._raster.steps_that_matter(self.spec)

    def _read(self, sample: int) -> NDArray[np.bool_]:
        return unpack(self._raster.packed(self.spec, sample)[None], self.spec.shape)[:, 0]
