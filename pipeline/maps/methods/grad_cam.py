"""Grad-CAM: where a layer speaks for one class; of an ANN, or step by step, by surrogate gradients,
of an SNN.

    ANN     α_k = 1/(H·W) Σ_{i,j} ∂y_c/∂A^k_{ij}          G_{ij}   = max(0, Σ_k α_k A^k_{ij})
    SNN     α_k = 1/(H·W·T) Σ_{i,j,t} ∂y_c/∂A^k_{ij,t}    G_{ij,t} = max(0, Σ_k α_k A^k_{ij,t})

A are the activations behind a layer's ReLU, or its spikes. c is the true class, or where that is
unknown (label -1) the predicted one.

References
----------
Selvaraju et al. 2017, ICCV; Kim & Panda 2021, Eq. 9-10.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch, unpacked
from spikesam.backends.network import Kind, Network
from spikesam.common.errors import at
from spikesam.pipeline.maps.image_method import ImageMethod, Maps
from spikesam.pipeline.maps.layers import mapped_layers

if TYPE_CHECKING:
    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork


def snn_grad_cam(
    network: DifferentiableNetwork,
    inputs: InputBatch,
    labels: NDArray[np.integer[Any]],
    layers: Iterable[str],
) -> Maps:
    """Predictions (B,), and by layer (T, B, H, W) float32 ≥ 0, of packed spikes or (T, B, 2C, H, W)
    and labels (B,).
    """
    import torch

    from spikesam.pipeline.networks.differentiable import classes_meant

    shapes = network.network.shape_of
    with at("Grad-CAM"):
        chosen = mapped_layers(shapes, layers, bands=False)
    x = (
        torch.from_numpy(unpacked(inputs))
        .to(network.readout.device, torch.float32)
        .requires_grad_("input" in chosen)
    )
    logits, spikes = network(x)
    of_layer = dict(
        zip(shapes, [x, *spikes][-len(shapes) :], strict=True)
    )  # a constant current has no layer
    picked = logits.gather(1, classes_meant(logits, torch.tensor(labels))[:, None]).sum()
    gradients = torch.autograd.grad(picked, [of_layer[name] for name in chosen])
    maps = {}
    for name, gradient in zip(chosen, gradients, strict=True):
        weights = gradient.mean(dim=(0, 3, 4))
        maps[name] = (
            torch.einsum("bk,tbkij->tbij", weights, of_layer[name].detach())
            .clamp(min=0)
            .cpu()
            .numpy()
        )
    return logits.argmax(1).cpu().numpy(), maps


@dataclass(frozen=True)
class SnnGradCam(ImageMethod):
    """Evidence for the class in a spiking network, step by step."""

    name = "snn-grad-cam"
    title = "SNN-crafted Grad-CAM"
    shows = "What speaks for the class"
    speaks_for = "label"
    label = "Grad-CAM"
    parameters: ClassVar[dict[str, type]] = {"seed": int}
    maps = staticmethod(snn_grad_cam)


def grad_cam(
    network: DifferentiableNetwork,
    inputs: InputBatch,
    labels: NDArray[np.integer[Any]],
    layers: Iterable[str],
) -> Maps:
    """Predictions (B,), and by layer (1, B, H, W) float32 ≥ 0, of images (B, C, H, W) and labels
    (B,), by captum.
    """
    import torch
    from captum.attr import LayerGradCam

    from spikesam.pipeline.networks.differentiable import classes_meant

    shapes = network.network.shape_of
    with at("Grad-CAM"):
        chosen = mapped_layers(shapes, layers, bands=False)
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
    """Evidence for the class in an ANN's layer; of a spiking network,
    snn-grad-cam takes its place.
    """

    name = "grad-cam"
    title = "Grad-CAM of the ANN"
    shows = "What speaks for the class"
    speaks_for = "label"
    kind = None

    def of_kind(self, kind: Kind) -> ImageMethod:
        """See :class:`ImageMethod`."""
        return self if kind == "ann" else SnnGradCam(**asdict(self))

    def chosen_layers(self, network: Network, layers: Sequence[str]) -> tuple[str, ...]:
        """The layers that are named, or the last convolution."""
        chosen = super().chosen_layers(network, layers)
        return chosen if layers else chosen[-1:]

    maps = staticmethod(grad_cam)
