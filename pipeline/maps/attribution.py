"""What speaks for the predicted class in the input of a spiking network: three methods of captum.

    gradient × input       x ∂y/∂x                                 one gradient, by the surrogate
    integrated gradients   x ∫ ∂y(αx)/∂x dα, α from 0 to 1         the mean gradient on the way from an empty input
    occlusion              y(x) - y(x without a square)            no gradient; the mean over the squares on a pixel

y is the class's logit, x the encoded input: spikes of every step and plane. The baseline is an input without spikes,
which Poisson coding makes of the mean colour. Values have signs; a map is the positive part of their sum over steps and
planes.

References
----------
Sundararajan, Taly & Yan 2017, arXiv:1703.01365; Zeiler & Fergus 2014, arXiv:1311.2901; gradients through spikes as in
:mod:`pipeline.networks.differentiable`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import InputXGradient, IntegratedGradients, Occlusion
from numpy.typing import NDArray
from torch import Tensor

from backends.base import InputBatch, unpacked
from pipeline.networks.differentiable import DifferentiableNetwork

from .answers import answers_of

POINTS = 16  # on the way from an empty input
SIDES, OVERLAP = 5, 2  # squares in the image's short side; how many cover a pixel in each direction

Attributed = tuple[NDArray[np.int64], NDArray[np.float32]]  # predictions (B,), maps (B, H, W) ≥ 0


def gradient_x_input(network: DifferentiableNetwork, inputs: InputBatch) -> Attributed:
    """Gradient × input of B images.

    Parameters
    ----------
    network : in float32
    inputs : what its encoder makes of B images
    """
    x, logits, target = _prepared(network, inputs)
    return _attributed(target, InputXGradient(logits).attribute(x.requires_grad_(), target))


def integrated_gradients(network: DifferentiableNetwork, inputs: InputBatch, points: int = POINTS) -> Attributed:
    """Integrated gradients of B images, with the gradient taken at `points` points (Gauss-Legendre)."""
    x, logits, target = _prepared(network, inputs)
    found = IntegratedGradients(logits).attribute(x, 0, target, n_steps=points, internal_batch_size=len(x))
    return _attributed(target, found)


def occlusion(network: DifferentiableNetwork, inputs: InputBatch) -> Attributed:
    """Occlusion of B images by squares of a fifth of the short side, half a square apart; simulated, without gradient.

    Raises
    ------
    NetworkError : if the network is an ANN
    """
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
        maps.append(Occlusion(logits).attribute(visible, window, strides, 0, int(target), perturbations_per_eval=16))
    found = torch.cat(maps)[:, 0].clamp(min=0)
    return predictions, found.to(torch.float32).numpy()


def _prepared(network: DifferentiableNetwork, inputs: InputBatch) -> tuple[Tensor, Callable[[Tensor], Tensor], Tensor]:
    """The input with the samples first, logits as a function of it, and the predicted classes."""
    x = torch.from_numpy(unpacked(inputs)).to(network.readout.device, torch.float32)

    def logits(x: Tensor) -> Tensor:
        return network.logits(_time_first(x))

    x = x.movedim(1, 0) if x.ndim == 5 else x
    with torch.no_grad():
        return x, logits, logits(x).argmax(1)


def _time_first(x: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (T, B, C, H, W); a current that is constant has no time."""
    return x.movedim(1, 0) if x.ndim == 5 else x


def _attributed(target: Tensor, values: Tensor) -> Attributed:
    summed = values.detach().flatten(1, -3).sum(1, dtype=torch.float64).clamp(min=0)
    return target.cpu().numpy(), summed.to(torch.float32).cpu().numpy()
