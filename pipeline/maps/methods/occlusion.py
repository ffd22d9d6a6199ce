"""Occlusion: y(x) - y(x without a square), the mean over the squares that lie on a pixel; no gradient.

y is the class's logit, x the encoded input. A map is the positive part. The network is simulated.

References
----------
Zeiler & Fergus 2014, arXiv:1311.2901.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from spikesam.backends.base import InputBatch, unpacked
from spikesam.pipeline.maps.answers import answers_of
from spikesam.pipeline.maps.image_method import Attributed, InputMethod

if TYPE_CHECKING:
    from torch import Tensor

    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork

SIDES, OVERLAP = 5, 2  # squares in the image's short side; how many cover a pixel in each direction


@dataclass(frozen=True)
class OcclusionMaps(InputMethod):
    """Loss of the class's logit where squares of the input, a fifth of its short side, are hidden."""

    name = "occlusion"
    title = "Occlusion"

    def attributed(self, network: DifferentiableNetwork, inputs: InputBatch) -> Attributed:
        """See :class:`InputMethod`."""
        import torch
        from captum.attr import Occlusion

        answers, encoded = answers_of(network.network), unpacked(inputs)
        predictions = answers(encoded).argmax(axis=1)
        height, width = encoded.shape[-2:]
        side = max(1, min(height, width) // SIDES)
        window, strides = (1, side, side), (1, *[max(1, side // OVERLAP)] * 2)
        maps = []
        for image, target in enumerate(predictions):
            sample = encoded[..., image, None, :, :, :]

            def logits(visible: Tensor, sample: NDArray[Any] = sample) -> Tensor:
                return torch.from_numpy(answers(sample * visible.numpy().astype(sample.dtype)))

            visible = torch.ones(1, 1, height, width)
            maps.append(
                Occlusion(logits).attribute(visible, window, strides, 0, int(target), perturbations_per_eval=16)
            )
        found = torch.cat(maps)[:, 0].clamp(min=0)
        return predictions, found.to(torch.float32).numpy()
