"""Any torch classifier of ReLU neurons, read as a network of kind "ann", and the proof that it is
the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.network import Network, NetworkError
from spikesam.backends.torch.synapses import exact_sums
from spikesam.common.errors import at
from spikesam.pipeline.images.calibration import calibration_images
from spikesam.pipeline.images.encoding import mean_spikes
from spikesam.pipeline.imports.torch.calling import (
    Example,
    FollowedModel,
    answers_in,
    checked_model,
    follow_images,
    preserved,
)
from spikesam.pipeline.imports.torch.follower import FollowedLayer, WatchedCalls
from spikesam.pipeline.imports.torch.imported import Imported, assemble
from spikesam.pipeline.imports.torch.modules import NeuronModules
from spikesam.pipeline.imports.torch.proof import warn_of_dropped
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork

FOLLOWED = 2  # images that the model is followed on, which keeps every tensor
BATCH, MOST_VALUES = (
    16,
    1 << 26,
)  # images that are compared at a time, and activations of all layers of a batch
ROUNDING = 1e-5  # of the largest number of a layer: what the order of additions may change

RECTIFIERS = NeuronModules(takes="B...", rectified=True)


@exact_sums()  # the model, too, without TF32
def read_ann(model: Any, images: Any) -> tuple[Network, NDArray[np.int64]]:
    """The network of a model whose neurons are ReLU, proven equal to it on images, and its answers
    (N,).
    """
    model = checked_model(model)
    calibration, _ = calibration_images(images)
    device = next(
        (weight.device for weight in (*model.parameters(), *model.buffers())), torch.device("cpu")
    )
    largest = float(np.abs(calibration).max())
    if not largest:
        raise NetworkError("images: are all 0, expected images as the model takes them")
    example = Example(
        torch.from_numpy(calibration[None, :FOLLOWED]).to(device), False, "image", largest
    )
    followed, imported = _followed(model, example)
    network = imported.network
    try:
        _, again = _followed(model, example.varied())
        if again.network.sha256 != network.sha256:
            raise NetworkError(
                "the model is another network; expected weights and connections that depend on no "
                "data"
            )
    except NetworkError as error:
        raise NetworkError(
            f"on a second input, which is made from the images: {error}"
        ) from error.__cause__
    answers = _check_all(model, imported, calibration, device)
    warn_of_dropped(followed, imported, "images")
    return network, answers


def _followed(model: nn.Module, example: Example) -> tuple[FollowedModel, Imported]:
    """A model on an example, and the network that it is, whose activations are the model's."""
    followed = follow_images(model, example, RECTIFIERS)
    imported = assemble(model, followed, example)
    with torch.no_grad():
        _, outputs = DifferentiableNetwork(imported.network)(torch.from_numpy(example.encoded(1)))
    for layer, activations in zip(imported.layers, outputs, strict=True):
        with at(layer.label):
            _expect_equal(activations.flatten(1), layer.spikes[0].cpu())
    return followed, imported


def _check_all(
    model: nn.Module, imported: Imported, images: NDArray[np.float32], device: torch.device
) -> NDArray[np.int64]:
    """Compare activations and answers of model and network on all images; refuse layers that none
    drives.
    """
    network, answers = imported.network, []
    differentiable = DifferentiableNetwork(network, memory_format=torch.channels_last)
    driven = [False] * len(network.layers)
    batch = max(1, min(BATCH, MOST_VALUES // sum(map(prod, network.shapes))))
    with torch.no_grad(), preserved(model):
        for start in range(0, len(images), batch):
            batch_images = images[start : start + batch]
            encoded = mean_spikes(batch_images, network.input_range).reshape(
                -1, *network.input_shape
            )
            logits, outputs = differentiable(torch.from_numpy(encoded))
            activations = dict(zip((layer.name for layer in imported.layers), outputs, strict=True))
            watched = WatchedCalls(imported.layers, partial(_expect_layer, activations))
            with watched:
                (answer,) = answers_in(model(torch.from_numpy(batch_images).to(device)), 1)
            if missing := next(iter(watched.waiting.values()), None):
                raise NetworkError(
                    f"{missing.label}: is not called on all images; expected one way through the "
                    "model"
                )
            with at("the model's output"):
                _expect_equal(imported.probabilities(logits), answer.flatten(1).cpu())
            answers.append(logits.argmax(1))
            driven = [
                was_driven or bool(output.any())
                for was_driven, output in zip(driven, outputs, strict=True)
            ]
    if silent := [
        layer.label for layer, any_ in zip(imported.layers, driven, strict=True) if not any_
    ]:
        raise NetworkError(
            f"{silent[0]}: no image drives it: its activations are 0 on all {len(images)}; give "
            "others"
        )
    return torch.cat(answers).numpy()


def _expect_layer(
    network_activations: Mapping[str, Tensor], layer: FollowedLayer, model_activations: Tensor
) -> None:
    of_network = network_activations[layer.name]
    with at(layer.label):
        _expect_equal(of_network.flatten(1), model_activations.reshape(len(of_network), -1).cpu())


def _expect_equal(numbers: Tensor, expected: Tensor) -> None:
    """Refuse numbers of a layer that differ by more than rounding."""
    largest, error = (float(values.abs().amax()) for values in (expected, numbers - expected))
    if not error <= ROUNDING * largest:
        raise NetworkError(
            f"differs from the network that was read by up to {error:.3g}, where its largest "
            f"number is {largest:.3g}; expected at most {ROUNDING:g} of it"
        )
