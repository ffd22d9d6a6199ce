"""A network as a torch module that stands open: its spikes, currents and gradients, layer by layer.

:func:`spikesam.to_torch` gives a module from images to scores. :class:`DifferentiableNetwork` takes
encoded input and also gives every layer's spikes; :func:`fire` is one layer's neurons, from
currents to spikes with the surrogate's gradient, whose slope is :data:`SURROGATE_SLOPE`.
:func:`encode_straight_through` encodes images and lets the gradient through, as attacks need it.
:func:`predictions` are the answers, :func:`classes_meant` the classes that labels mean, where -1
stands for the answer.

:func:`grad_cam` explains an ANN, :func:`snn_grad_cam` a spiking network. Needs the extra `torch`.

Examples
--------
>>> import spikesam, torch
>>> from spikesam.gradients import DifferentiableNetwork
>>> network = spikesam.load("cluttered-digits").network
>>> spikes = torch.zeros(network.timesteps, 1, *network.input_shape, requires_grad=True)
>>> logits, fired = DifferentiableNetwork(network)(spikes)
>>> logits.shape, fired[1].shape
(torch.Size([1, 10]), torch.Size([16, 1, 48, 20, 20]))
"""

from __future__ import annotations

from spikesam.common.extras import missing

try:
    from spikesam.pipeline.maps.methods.grad_cam import grad_cam, snn_grad_cam
    from spikesam.pipeline.networks.differentiable import (
        DifferentiableNetwork,
        classes_meant,
        encode_straight_through,
        predictions,
    )
    from spikesam.pipeline.networks.firing import SURROGATE_SLOPE, fire
except ImportError as error:
    raise ImportError(f"spikesam.gradients {missing(error) or error}", name=error.name) from None

__all__ = [
    "SURROGATE_SLOPE",
    "DifferentiableNetwork",
    "classes_meant",
    "encode_straight_through",
    "fire",
    "grad_cam",
    "predictions",
    "snn_grad_cam",
]
