"""RISE: the predicted class's probability, averaged over random masks that leave a pixel visible.

    S[h,w] = 1/(K p) Σ_k P(class | x ⊙ M_k) M_k[h,w]

A mask is a coarse grid of zeros and ones (ones with probability p = 1/2), enlarged bilinearly and shifted at random.
The network is only asked, never looked into. A spike of the input survives with the mask's probability at its place,
so masking what Poisson coding made is coding the masked image.

References
----------
Petsiuk, Das & Saenko 2018, arXiv:1806.07421, Section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch, unpacked
from spikesam.backends.network import Network
from spikesam.pipeline.maps.answers import BATCH, answers_of
from spikesam.pipeline.maps.image_method import Attributed, InputMethod
from spikesam.pipeline.measures.maps import resize_map
from spikesam.pipeline.measures.statistics import softmax

if TYPE_CHECKING:
    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork

MASKS = 512
CELLS = 7  # of the grid, in each direction
VISIBLE = 0.5


@dataclass(frozen=True)
class RiseMaps(InputMethod):
    """Probability of the class under 512 random masks of the input."""

    name = "rise"
    title = "RISE"

    def attributed(self, network: DifferentiableNetwork, inputs: InputBatch) -> Attributed:
        """See :class:`InputMethod`."""
        return rise(network.network, inputs, self.seed)


def rise(network: Network, inputs: InputBatch, seed: int, masks: int = MASKS) -> Attributed:
    """RISE of B images by masks of one `seed`, on the event backend: predictions (B,), maps (B, H, W) float32 ≥ 0."""
    answers, encoded = answers_of(network), unpacked(inputs)
    predictions = answers(encoded).argmax(axis=1)
    visible = random_masks(masks, encoded.shape[-2:], seed)
    maps = np.zeros((len(predictions), *encoded.shape[-2:]))
    for image, target in enumerate(predictions):
        for start in range(0, masks, BATCH):
            batch = visible[start : start + BATCH]
            masked = _masked(encoded[..., image, :, :, :], batch, seed)
            maps[image] += np.tensordot(softmax(answers(masked))[:, target], batch, 1)
    return predictions, (maps / (masks * VISIBLE)).astype(np.float32)


def random_masks(count: int, size: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """(K, H, W) in 0 … 1: a grid of CELLS × CELLS, and one cell more to shift it by up to a cell."""
    random = np.random.default_rng([seed, count])
    cell = [math.ceil(side / CELLS) for side in size]
    grids = (random.random((count, CELLS + 1, CELLS + 1)) < VISIBLE).astype(np.float64)
    enlarged = resize_map(grids, tuple((CELLS + 1) * side for side in cell))
    shifts = random.integers(cell, size=(count, 2))
    return np.stack([mask[y : y + size[0], x : x + size[1]] for mask, (y, x) in zip(enlarged, shifts, strict=True)])


def _masked(encoded: NDArray[Any], masks: NDArray[np.float64], seed: int) -> NDArray[Any]:
    """One image under K masks: spikes (T, C, H, W) -> (T, K, C, H, W) bool; a constant current -> (K, C, H, W) int8."""
    if encoded.dtype != np.bool_:
        return np.rint(encoded * masks[:, None]).astype(encoded.dtype)
    threshold = np.random.default_rng(seed).random(encoded.shape, np.float32)[:, None]
    masked: NDArray[Any] = encoded[:, None] & (threshold < masks[:, None].astype(np.float32))
    return masked
