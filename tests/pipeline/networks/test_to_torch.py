"""A network as a torch module: the backends' scores, and gradients that reach the images."""

from typing import Any

import numpy as np
import pytest
import torch

import spikesam
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.images.encoding import encode

random = np.random.default_rng(0)


def images_for(model: Any, count: int = 3) -> torch.Tensor:
    return torch.tensor(random.normal(0, 0.7, (count, *model.image_shape)), dtype=torch.float32)


@pytest.mark.parametrize(("name", "shape"), [("cluttered-digits", (3, 80, 80)), ("residual-digits", (3, 40, 40))])
def test_the_scores_are_the_backends(name: str, shape: tuple[int, ...]) -> None:
    network = spikesam.load(name).network
    model = spikesam.to_torch(name, seed=4)
    assert model.image_shape == shape and not model.training
    images = images_for(model)
    with torch.no_grad():
        scores = model(images)
    (batch,) = TorchBackend("cpu").run(network, [encode(network, images.numpy(), 4, range(3))], 3)
    np.testing.assert_allclose(scores, batch.readout * network.readout.scale / network.timesteps, rtol=1e-4, atol=1e-5)
    assert torch.equal(model(images), model(images))


def test_an_ann_is_a_module_too() -> None:
    model = spikesam.to_torch(spikesam.load("cluttered-digits-ann"))
    assert model(images_for(model)).shape == (3, 10)


@pytest.mark.parametrize("name", ["contrast-digits", "residual-digits"])
def test_methods_of_captum_find_gradients(name: str) -> None:
    captum = pytest.importorskip("captum.attr")
    model = spikesam.to_torch(name)
    found = captum.Saliency(model).attribute(images_for(model, 1).requires_grad_(), target=3)
    assert found.abs().max() > 0 and found.isfinite().all()


def test_what_is_refused() -> None:
    checkpoint = spikesam.load("residual-digits")
    with pytest.raises(spikesam.InputError, match="^gradients: got a network in fixed point, expected float32"):
        spikesam.to_torch(spikesam.quantise(checkpoint.network))
    with pytest.raises(spikesam.InputError, match="^to_torch: the network takes spikes, expected one that"):
        spikesam.to_torch("saccade-digits")
    with pytest.raises(spikesam.InputError, match="^to_torch: got int, expected a Network, a checkpoint or its name$"):
        spikesam.to_torch(3)  # type: ignore[arg-type]
    model = spikesam.to_torch(checkpoint)
    with pytest.raises(spikesam.InputError, match=r"^to_torch: got images of \(2, 7, 5, 5\), expected \(B, "):
        model(torch.zeros(2, 7, 5, 5))
