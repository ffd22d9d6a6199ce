"""Grad-CAM of an ANN: by hand, and what captum does against the formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikesam.backends.network import Input, Layer, Network, Readout, ReLU
from spikesam.pipeline.images.encoding import mean_spikes
from spikesam.pipeline.maps.methods.grad_cam import grad_cam
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.training.export import export_network
from spikesam.pipeline.training.relu_network import ReluNetwork
from spikesam.recordings.errors import InputError


def seeing_ann() -> DifferentiableNetwork:
    """Two 3×3 filters that pass the red and the green pixel on, before a dense layer that just copies 2·1·2 values."""
    weight = np.zeros((2, 3, 3, 3))
    weight[0, 0, 1, 1] = weight[1, 1, 1, 1] = 2
    layers = (Layer("conv1", Input(weight, padding=1), ReLU()), Layer("fc1", np.eye(4), ReLU()))
    readout = Readout(np.array([[3.0, 1, -4, 1], [0, 0, 1, 1]]))
    return DifferentiableNetwork(Network((3, 1, 2), 1, layers, readout, "image"))


def test_grad_cam_of_an_ann_by_hand() -> None:
    """Activations are the red and green pixels (blue has no filter, negative ones are cut off).

    The last of each pair below is negative, so neither it nor its gradient counts: α = (3 + 0)/2 for the red channel
    and (-4 + 0)/2 for the green one, for class 0; 0 and 1/2 for class 1.
    """
    inputs = mean_spikes(np.float32([[1, -1], [0.5, -1], [1, 1]]).reshape(1, 3, 1, 2))
    for label, expected in ((0, [[0.5, 0]]), (1, [[0.25, 0]]), (-1, [[0.5, 0]])):  # logits 1 and 0.5
        predictions, maps = grad_cam(seeing_ann(), inputs, np.array([label]), ["conv1"])
        assert predictions.tolist() == [0]
        np.testing.assert_allclose(maps["conv1"], [[expected]], rtol=1e-6)


def test_grad_cam_of_an_ann_is_the_formula() -> None:
    """α A with gradients by torch alone, at each layer; what captum does with them."""
    torch.manual_seed(0)
    network = DifferentiableNetwork(export_network(ReluNetwork([5, "P", 6, 7, "P", "D8"], (3, 8, 12), 4)))
    inputs = np.random.default_rng(0).uniform(-1, 1, (3, 3, 8, 12)).astype(np.float32)
    labels = np.array([3, 0, 1])
    logits, activations = network(torch.from_numpy(inputs))
    gradients = torch.autograd.grad(logits[range(3), labels].sum(), activations)
    _, maps = grad_cam(network, inputs, labels, [])
    assert {name: found.shape for name, found in maps.items()} == {
        "conv1": (1, 3, 8, 12),
        "conv2": (1, 3, 4, 6),
        "conv3": (1, 3, 4, 6),
    }
    for activity, gradient, found in zip(activations, gradients, maps.values(), strict=False):
        expected = (gradient.mean((2, 3), keepdim=True) * activity).sum(1).clamp(min=0).detach()
        assert found.any()
        np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-7)


def test_dense_layers_of_an_ann_are_refused() -> None:
    with pytest.raises(InputError, match="Grad-CAM: layer 'fc1' is dense.*choose from conv1"):
        grad_cam(seeing_ann(), np.zeros((1, 3, 1, 2), np.float32), np.array([0]), ["fc1"])
