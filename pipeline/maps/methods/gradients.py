"""Gradient × input, x ∂y/∂x, and integrated gradients, x ∫ ∂y(αx)/∂x dα, α from 0 to 1.

y is the class's logit, x the encoded input: spikes of every step and plane. The baseline, α = 0, is
an input without spikes, which Poisson coding makes of the mean colour. A map is the positive part
of the signed values' sum over steps and planes. Gradients go through spikes as in
:mod:`spikesam.pipeline.networks.differentiable`.

References
----------
Sundararajan, Taly & Yan 2017, arXiv:1703.01365.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spikesam.backends.base import InputBatch
from spikesam.pipeline.maps.image_method import Attributed, Classes, InputMethod, positive, prepared

if TYPE_CHECKING:
    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork


@dataclass(frozen=True)
class GradientTimesInput(InputMethod):
    """Evidence for the class in the input, by one gradient."""

    name = "gradient-x-input"
    title = "Gradient × input"

    def attributed(
        self, network: DifferentiableNetwork, inputs: InputBatch, classes: Classes = None
    ) -> Attributed:
        """See :class:`InputMethod`."""
        from captum.attr import InputXGradient

        x, logits, predictions, chosen = prepared(network, inputs, classes)
        return positive(predictions, InputXGradient(logits).attribute(x.requires_grad_(), chosen))


POINTS = 16  # on the way from an empty input (Gauss-Legendre)


@dataclass(frozen=True)
class IntegratedGradientMaps(InputMethod):
    """Evidence for the class in the input, by 16 gradients on the way from an empty one."""

    name = "integrated-gradients"
    title = "Integrated gradients"

    def attributed(
        self, network: DifferentiableNetwork, inputs: InputBatch, classes: Classes = None
    ) -> Attributed:
        """See :class:`InputMethod`."""
        return integrated_gradients(network, inputs, classes=classes)


def integrated_gradients(
    network: DifferentiableNetwork,
    inputs: InputBatch,
    points: int = POINTS,
    classes: Classes = None,
) -> Attributed:
    """Integrated gradients of B images, with the gradient taken at `points` points."""
    from captum.attr import IntegratedGradients

    x, logits, predictions, chosen = prepared(network, inputs, classes)
    attributions = IntegratedGradients(logits).attribute(
        x, 0, chosen, n_steps=points, internal_batch_size=len(x)
    )
    return positive(predictions, attributions)
