"""Grad-CAM of an ANN: where a layer's activity speaks for one class, by the gradient of that class's logit.

    α_k = 1/(H·W) Σ_{i,j} ∂y_c/∂A^k_{ij}            G_{ij} = max(0, Σ_k α_k A^k_{ij})

A are the activations behind a layer's ReLU. c is the true class, or where that is unknown (label -1) the predicted one.

References
----------
Selvaraju et al. 2017, ICCV.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch, unpacked
from spikesam.backends.network import Kind, Network
from spikesam.pipeline.maps.image_method import ImageMethod, Maps
from spikesam.pipeline.maps.layers import mapped_layers
from spikesam.pipeline.maps.methods.snn_grad_cam import SnnGradCam

if TYPE_CHECKING:
    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork


def grad_cam(
    network: DifferentiableNetwork, inputs: InputBatch, labels: NDArray[np.integer[Any]], layers: Iterable[str]
) -> Maps:
    """Grad-CAM of B images in an ANN, by captum: predictions (B,), and by layer (1, B, H, W) float32 ≥ 0, in order.

    `inputs` are (B, C, H, W) float32, `labels` (B,) classes, -1 where unknown; all convolutions if no layer is given.
    An InputError if there is no such layer, or it is dense.
    """
    import torch
    from captum.attr import LayerGradCam

    from spikesam.pipeline.networks.differentiable import classes_meant

    shapes = network.network.shape_of
    chosen = mapped_layers(shapes, layers, "Grad-CAM", bands=False)
    x = torch.from_numpy(unpacked(inputs)).to(network.readout.device)
    with torch.no_grad():
        logits = network(x)[0]
    target = classes_meant(logits, torch.tensor(labels))
    maps = {}
    for number, name in enumerate(shapes):
        if name in chosen:
            method: Any = LayerGradCam(lambda x: network(x)[0], network.layers[number])
            of_layer = method.attribute(x, target, relu_attributions=True)
            maps[name] = of_layer.movedim(1, 0).detach().cpu().numpy()
    return logits.argmax(1).cpu().numpy(), maps


@dataclass(frozen=True)
class GradCam(ImageMethod):
    """Evidence for the class in an ANN's layer; of a spiking network, snn-grad-cam takes its place."""

    name = "grad-cam"
    title = "Grad-CAM of the ANN"
    shows = "What speaks for the class"
    speaks_for = "label"
    kind = None

    def of_kind(self, kind: Kind) -> ImageMethod:
        """See :class:`ImageMethod`."""
        return self if kind == "ann" else SnnGradCam(**asdict(self))

    def chosen_layers(self, network: Network, layers: Sequence[str], where: str) -> tuple[str, ...]:
        """The layers that are named, or the last convolution."""
        chosen = super().chosen_layers(network, layers, where)
        return chosen if layers else chosen[-1:]

    maps = staticmethod(grad_cam)
