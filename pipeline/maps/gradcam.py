"""Grad-CAM: where a layer's activity speaks for one class, by the gradient of that class's logit.

    ANN   α_k = 1/(H·W) Σ_{i,j} ∂y_c/∂A^k_{ij}            G_{ij}   = max(0, Σ_k α_k A^k_{ij})
    SNN   α_k = 1/(H·W·T) Σ_{i,j,t} ∂y_c/∂A^k_{ij,t}      G_{ij,t} = max(0, Σ_k α_k A^k_{ij,t})

A is what leaves a layer: activations behind its ReLU, or spikes, whose gradients are surrogates. c is the true class,
or where that is unknown (label -1) the predicted one.

References
----------
Selvaraju et al. 2017, ICCV; Kim & Panda 2021, Eq. 9-10.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .method import spatial_layers

if TYPE_CHECKING:
    from torch import Tensor

    from backends.network.graph import Network
    from pipeline.networks.ann import ReluNetwork
    from pipeline.networks.differentiable import DifferentiableNetwork

Labels = NDArray[np.integer[Any]]


def ann_grad_cam(model: ReluNetwork, images: NDArray[np.float32], labels: Labels, layer: str) -> NDArray[np.float32]:
    """Grad-CAM of an ANN, by captum.

    Parameters
    ----------
    model : in evaluation mode
    images : (B, 3, H, W) float32, preprocessed
    labels : (B,) int — true classes, -1 where unknown
    layer : a convolution, such as "conv4"

    Returns
    -------
    (B, h, w) float32 ≥ 0, of the layer's height and width

    Raises
    ------
    InputError : if there is no such layer, or it is dense
    """
    (maps,) = explain_ann(model, images, labels, [layer])[1].values()
    return maps


def explain_ann(
    model: ReluNetwork, images: NDArray[np.float32], labels: Labels, layers: Iterable[str]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    """Predictions (B,) and Grad-CAM at several layers, name -> (B, h, w); see :func:`ann_grad_cam`."""
    import torch  # here, because it takes seconds and --help need not wait
    from captum.attr import LayerGradCam

    chosen = spatial_layers(ann_kinds(model), layers, "Grad-CAM")
    x = torch.from_numpy(images).to(model.readout.weight.device)
    with torch.no_grad():
        logits = model(x)
    target = _classes(logits, labels)
    maps = {}
    rectifiers = dict(zip(ann_kinds(model), model.rectifiers, strict=True))
    for name in chosen:
        grad_cam = LayerGradCam(model, rectifiers[name])
        maps[name] = grad_cam.attribute(x, target, relu_attributions=True)[:, 0].detach().cpu().numpy()
    return logits.argmax(1).cpu().numpy(), maps


def snn_grad_cam(
    network: DifferentiableNetwork, inputs: NDArray[Any], labels: Labels, layers: Iterable[str]
) -> dict[str, NDArray[np.float32]]:
    """SNN-crafted Grad-CAM at any layers and every step, in one pass forward and one back.

    Parameters
    ----------
    inputs : what the network's encoder makes of B images: (T, B, 2C, H, W) bool, or (B, C, H, W) int8
    labels : (B,) int — true classes, -1 where unknown
    layers : names or numbers; all with a spatial extent if none is given

    Returns
    -------
    name -> (T, B, H, W) float32 ≥ 0, in order of depth

    Raises
    ------
    InputError : if a layer is unknown or dense
    """
    return explain_snn(network, inputs, labels, layers)[1]


def explain_snn(
    network: DifferentiableNetwork, inputs: NDArray[Any], labels: Labels, layers: Iterable[str]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    """Predictions (B,) besides what :func:`snn_grad_cam` gives."""
    import torch

    kinds = snn_kinds(network.network)
    chosen = spatial_layers(kinds, layers, "Grad-CAM")
    x = torch.from_numpy(inputs).to(network.readout.device, torch.float32).requires_grad_("input" in chosen)
    logits, spikes = network(x)
    of_layer = dict(zip(kinds, [x, *spikes][-len(kinds) :], strict=True))  # a constant current has no layer
    picked = logits.gather(1, _classes(logits, labels)[:, None]).sum()
    gradients = torch.autograd.grad(picked, [of_layer[name] for name in chosen])
    maps = {}
    for name, gradient in zip(chosen, gradients, strict=True):
        weights = gradient.mean(dim=(0, 3, 4))
        maps[name] = torch.einsum("bk,tbkij->tbij", weights, of_layer[name].detach()).clamp(min=0).cpu().numpy()
    return logits.argmax(1).cpu().numpy(), maps


def ann_kinds(model: ReluNetwork) -> dict[str, str]:
    """An ANN's layers, name -> "conv" or "dense"."""
    return {plan.name: plan.kind for plan in model.plans}


def snn_kinds(network: Network) -> dict[str, str]:
    """A spiking network's layers, name -> "input" (where it spikes), "conv" or "dense"."""
    kinds = ["input", *(layer.kind for layer in network.layers)]
    return dict(zip(network.raster_names, kinds[-len(network.raster_names) :], strict=True))


def _classes(logits: Tensor, labels: Labels) -> Tensor:
    """The labels, with predictions for the unknown ones."""
    given = logits.new_tensor(labels).long()
    return given.where(given >= 0, logits.argmax(1))
