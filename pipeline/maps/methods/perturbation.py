"""Occlusion and RISE: the network is simulated on many versions of an input, never looked into; no
gradient.

Occlusion maps y(x) - y(x without a square), the mean over the squares that lie on a pixel, its
positive part: y is the class's logit, x the encoded input. RISE maps the class's probability over
random masks that leave a pixel visible:

    S[h,w] = 1/(K p) Σ_k P(class | x ⊙ M_k) M_k[h,w]

A mask is a coarse grid of zeros and ones (ones with probability p = 1/2), enlarged bilinearly and
shifted at random. A spike of the input survives with the mask's probability at its place, so
masking what Poisson coding made is coding the masked image.

References
----------
Zeiler & Fergus 2014, arXiv:1311.2901; Petsiuk, Das & Saenko 2018, arXiv:1806.07421, Section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import Backend, InputBatch, unpacked
from spikesam.backends.network import Network
from spikesam.pipeline.maps.image_method import (
    Attributed,
    Classes,
    InputMethod,
    predicted_and_explained,
)
from spikesam.pipeline.measures.maps import resize_map
from spikesam.pipeline.measures.statistics import softmax

if TYPE_CHECKING:
    from torch import Tensor

    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork

BATCH = 16  # inputs packed together
SIDES, OVERLAP = 5, 2  # squares in the image's short side; how many cover a pixel in each direction
MASKS = 512
CELLS = 7  # of the grid, in each direction
VISIBLE = 0.5
Answering = Callable[[NDArray[Any]], NDArray[np.float64]]


def answers_of(network: Network, backend: Backend | None = None) -> Answering:
    """Logits (B, classes) of inputs (T, B, C, H, W) bool or (B, C, H, W) int8; on the event backend
    by default.
    """
    if backend is None:
        from spikesam.backends.event.backend import (
            EventBackend,
        )  # here, because numba takes half a second to import

        backend = EventBackend()
    backend.prepare(network)
    return partial(_answers, backend, network)


def _answers(backend: Backend, network: Network, inputs: NDArray[Any]) -> NDArray[np.float64]:
    count = inputs.shape[-4]
    batches = (inputs[..., start : start + BATCH, :, :, :] for start in range(0, count, BATCH))
    readout = np.concatenate([batch.readout for batch in backend.run(network, batches, count)])
    return readout * (network.readout.scale / network.timesteps)


@dataclass(frozen=True)
class OcclusionMaps(InputMethod):
    """Loss of the class's logit where squares of the input, a fifth of its short side, are
    hidden.
    """

    name = "occlusion"
    title = "Occlusion"

    def attributed(
        self, network: DifferentiableNetwork, inputs: InputBatch, classes: Classes = None
    ) -> Attributed:
        """See :class:`InputMethod`."""
        import torch
        from captum.attr import Occlusion

        answers, encoded = answers_of(network.network), unpacked(inputs)
        predictions, explained = predicted_and_explained(
            torch.from_numpy(answers(encoded)), classes
        )
        height, width = encoded.shape[-2:]
        side = max(1, min(height, width) // SIDES)
        window, strides = (1, side, side), (1, *[max(1, side // OVERLAP)] * 2)
        maps = []
        for image, target in enumerate(explained.tolist()):
            sample = encoded[..., image, None, :, :, :]

            def logits(visible: Tensor, sample: NDArray[Any] = sample) -> Tensor:
                return torch.from_numpy(answers(sample * visible.numpy().astype(sample.dtype)))

            visible = torch.ones(1, 1, height, width)
            maps.append(
                Occlusion(logits).attribute(
                    visible, window, strides, 0, target, perturbations_per_eval=16
                )
            )
        attributions = torch.cat(maps)[:, 0].clamp(min=0)
        return predictions.numpy(), attributions.to(torch.float32).numpy()


@dataclass(frozen=True)
class RiseMaps(InputMethod):
    """Probability of the class under 512 random masks of the input."""

    name = "rise"
    title = "RISE"

    def attributed(
        self, network: DifferentiableNetwork, inputs: InputBatch, classes: Classes = None
    ) -> Attributed:
        """See :class:`InputMethod`."""
        return rise(network.network, inputs, self.seed, classes=classes)


def rise(
    network: Network,
    inputs: InputBatch,
    seed: int,
    masks: int = MASKS,
    classes: Classes = None,
) -> Attributed:
    """RISE of B images by masks of one `seed`, on the event backend: predictions (B,), maps (B, H,
    W) float32 ≥ 0.
    """
    import torch

    answers, encoded = answers_of(network), unpacked(inputs)
    predictions, explained = predicted_and_explained(torch.from_numpy(answers(encoded)), classes)
    visible = random_masks(masks, encoded.shape[-2:], seed)
    maps = np.zeros((len(predictions), *encoded.shape[-2:]))
    for image, target in enumerate(explained.tolist()):
        for start in range(0, masks, BATCH):
            batch = visible[start : start + BATCH]
            masked = _masked(encoded[..., image, :, :, :], batch, seed)
            maps[image] += np.tensordot(softmax(answers(masked))[:, target], batch, 1)
    return predictions.numpy(), (maps / (masks * VISIBLE)).astype(np.float32)


def random_masks(count: int, size: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """(K, H, W) in 0 … 1: a grid of CELLS × CELLS, and one cell more to shift it by up to a
    cell.
    """
    random = np.random.default_rng([seed, count])
    cell = [math.ceil(side / CELLS) for side in size]
    grids = (random.random((count, CELLS + 1, CELLS + 1)) < VISIBLE).astype(np.float64)
    enlarged = resize_map(grids, tuple((CELLS + 1) * side for side in cell))
    shifts = random.integers(cell, size=(count, 2))
    return np.stack(
        [
            mask[y : y + size[0], x : x + size[1]]
            for mask, (y, x) in zip(enlarged, shifts, strict=True)
        ]
    )


def _masked(encoded: NDArray[Any], masks: NDArray[np.float64], seed: int) -> NDArray[Any]:
    """One image under K masks: spikes (T, C, H, W) -> (T, K, C, H, W) bool; a constant current ->
    (K, C, H, W) int8.
    """
    if encoded.dtype != np.bool_:
        return np.rint(encoded * masks[:, None]).astype(encoded.dtype)
    threshold = np.random.default_rng(seed).random(encoded.shape, np.float32)[:, None]
    masked: NDArray[Any] = encoded[:, None] & (threshold < masks[:, None].astype(np.float32))
    return masked
