"""Grad-CAM of an ANN: by hand, and what captum does against the formula."""

import numpy as np
import pytest
import torch

from spikesam.backends.network import LIF, Conv, Input, Layer, Network, Readout, ReLU
from spikesam.common.errors import InputError
from spikesam.pipeline.images.encoding import mean_spikes
from spikesam.pipeline.maps.methods.grad_cam import grad_cam, snn_grad_cam
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.training.trainable import ReluNetwork, export_network
from tests.pipeline.small_networks import small_model


def seeing_ann() -> DifferentiableNetwork:
    """Two 3×3 filters that pass the red and the green pixel on, before a dense layer that just
    copies 2·1·2 values.
    """
    weight = np.zeros((2, 3, 3, 3))
    weight[0, 0, 1, 1] = weight[1, 1, 1, 1] = 2
    layers = (
        Layer("conv1", Input(Conv(weight, padding=1)), ReLU()),
        Layer("fc1", np.eye(4), ReLU()),
    )
    readout = Readout(np.array([[3.0, 1, -4, 1], [0, 0, 1, 1]]))
    return DifferentiableNetwork(Network((3, 1, 2), 1, layers, readout, "image"))


def test_grad_cam_of_an_ann_by_hand() -> None:
    """Activations are the red and green pixels (blue has no filter, negative ones are cut off).

    The last of each pair below is negative, so neither it nor its gradient counts: α = (3 + 0)/2
    for the red channel and (-4 + 0)/2 for the green one, for class 0; 0 and 1/2 for class 1.
    """
    inputs = mean_spikes(np.float32([[1, -1], [0.5, -1], [1, 1]]).reshape(1, 3, 1, 2))
    for label, expected in (
        (0, [[0.5, 0]]),
        (1, [[0.25, 0]]),
        (-1, [[0.5, 0]]),
    ):  # logits 1 and 0.5
        predictions, maps = grad_cam(seeing_ann(), inputs, np.array([label]), ["conv1"])
        assert predictions.tolist() == [0]
        np.testing.assert_allclose(maps["conv1"], [[expected]], rtol=1e-6)


def test_grad_cam_of_an_ann_is_the_formula() -> None:
    """α A with gradients by torch alone, at each layer; what captum does with them."""
    torch.manual_seed(0)
    network = DifferentiableNetwork(
        export_network(ReluNetwork([5, "P", 6, 7, "P", "D8"], (3, 8, 12), 4))
    )
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


def two_channels() -> Network:
    """Two planes of 1×2 pixels straight to two channels (weight 3, so that every spike makes one),
    then to two classes.

    T = 3, threshold 1, leak 0. Readout of class 0: +3, +1 for the first channel's pixels, -4, +1
    for the second's.
    """
    weight = 3 * np.eye(2).reshape(2, 2, 1, 1)
    readout = np.array([[3.0, 1, -4, 1], [0, 0, 1, 1]])
    return Network((2, 1, 2), 3, (Layer("conv1", weight, LIF(0.0)),), Readout(readout))


def test_spiking_grad_cam_by_hand() -> None:
    """Worked out on paper.

    Spikes of the layer are those of the input a step later; ∂y/∂A is the readout's weight / T at
    every step. So α = mean over pixels and steps: (3 + 1)/2/3 = 2/3 and (-4 + 1)/2/3 = -1/2 for
    class 0; 0 and 1/3 for class 1.
    """
    inputs = np.zeros((3, 1, 2, 1, 2), bool)
    inputs[0, 0, 0] = [1, 0]  # arrives at t = 1: channel 0 left
    inputs[1, 0] = [[[1, 1]], [[1, 0]]]  # at t = 2: channel 0 both, channel 1 left
    network = DifferentiableNetwork(two_channels())
    predictions, maps = snn_grad_cam(network, inputs, np.array([0]), ["conv1"])
    assert predictions.tolist() == [0]
    assert list(maps) == ["conv1"]
    expected = [[[0, 0]], [[2 / 3, 0]], [[2 / 3 - 1 / 2, 2 / 3]]]
    np.testing.assert_allclose(maps["conv1"][:, 0], expected, rtol=1e-6)
    for_class_1 = snn_grad_cam(network, inputs, np.array([1]), ["1"])[1]["conv1"][:, 0]
    np.testing.assert_allclose(for_class_1, [[[0, 0]], [[0, 0]], [[1 / 3, 0]]], rtol=1e-6)
    # logits: 3 + (3 + 1 - 4) = 3 over 3, and 1 over 3: class 0 is what an unknown label stands for
    np.testing.assert_array_equal(
        snn_grad_cam(network, inputs, np.array([-1]), ["conv1"])[1]["conv1"], maps["conv1"]
    )


def test_negative_evidence_and_layers_that_never_spike_give_zero() -> None:
    against, silent = np.zeros((2, 3, 1, 2, 1, 2), bool)
    against[0, 0, 1] = True  # only channel 1, which speaks against class 0
    for inputs in (against, silent):
        found = snn_grad_cam(
            DifferentiableNetwork(two_channels()), inputs, np.array([0]), ["conv1"]
        )[1]
        assert not found["conv1"].any()
    network = DifferentiableNetwork(export_network(small_model()))
    for maps in snn_grad_cam(
        network, np.zeros((8, 1, 6, 16, 24), bool), np.array([1]), ["input", "conv1"]
    )[1].values():
        assert np.isfinite(maps).all()


def test_every_layer_at_once_is_every_layer_alone() -> None:
    network = DifferentiableNetwork(export_network(small_model()))
    inputs = np.random.default_rng(0).random((8, 2, 6, 16, 24)) < 0.4
    labels = np.array([2, 0])
    _, together = snn_grad_cam(network, inputs, labels, [])
    assert {name: maps.shape for name, maps in together.items()} == {
        "input": (8, 2, 16, 24),
        "conv1": (8, 2, 16, 24),
        "conv2": (8, 2, 8, 12),
    }
    for name, maps in together.items():
        assert maps.dtype == np.float32 and maps.any() and (maps >= 0).all()
        for sample in range(2):  # and every sample, whatever it is batched with
            alone = snn_grad_cam(network, inputs[:, [sample]], labels[[sample]], [name])[1][name]
            np.testing.assert_allclose(alone[:, 0], maps[:, sample], rtol=1e-4, atol=1e-7)


def test_dense_and_unknown_layers_are_refused() -> None:
    network, labels = DifferentiableNetwork(export_network(small_model())), np.array([0])
    inputs = np.zeros((8, 1, 6, 16, 24), bool)
    with pytest.raises(
        InputError, match="Grad-CAM: layer 'fc1' has no places.*choose from input, conv1, conv2"
    ):
        snn_grad_cam(network, inputs, labels, ["fc1"])
    with pytest.raises(InputError, match="Grad-CAM: no layer 'conv3'; did you mean conv2 or conv1"):
        snn_grad_cam(network, inputs, labels, ["conv3"])
    with pytest.raises(
        InputError, match="Grad-CAM: layer 'fc1' has no places in the image; choose from conv1"
    ):
        grad_cam(seeing_ann(), np.zeros((1, 3, 1, 2), np.float32), labels, ["fc1"])
