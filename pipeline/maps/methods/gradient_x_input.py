"""Gradient × input: x ∂y/∂x of the class's logit y and the encoded input x, by the surrogate gradient of spikes.

x holds spikes of every step and plane. A map is the positive part of the signed values' sum over steps and planes.
Gradients go through spikes as in :mod:`spikesam.pipeline.networks.differentiable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spikesam.backends.base import InputBatch
from spikesam.pipeline.maps.image_method import Attributed, InputMethod, positive, prepared

if TYPE_CHECKING:
    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork


@dataclass(frozen=True)
class GradientTimesInput(InputMethod):
    """Evidence for the class in the input, by one gradient."""

    name = "gradient-x-input"
    title = "Gradient × input"

    def attributed(self, network: DifferentiableNetwork, inputs: InputBatch) -> Attributed:
        """See :class:`InputMethod`."""
        from captum.attr import InputXGradient

        x, logits, target = prepared(network, inputs)
        return positive(target, InputXGradient(logits).attribute(x.requires_grad_(), target))
