"""A network as a torch module from images to logits, for whatever takes such modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.base import unpacked
from spikesam.backends.network import PIXEL_LIMIT, Network, NetworkError
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.networks.checkpoint import Checkpoint, load_checkpoint
from spikesam.pipeline.networks.defaults import usual_defaults
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork


@usual_defaults()
def to_torch(network: Network | Checkpoint | str, seed: int = 0) -> nn.Module:
    """A torch module that is a network: images in, class scores out, with gradients.

    What it computes is what the backends do in float32. A spike's derivative is that of its surrogate (see
    `pipeline/networks/differentiable.py`), and Poisson spikes and the rounding of currents have the gradient of their
    mean. So methods that ask a model again, or its gradients, can be used: captum's, Quantus' faithfulness, attacks.

    Parameters
    ----------
    network : in float32, which takes images; a checkpoint, or its name
    seed : of the Poisson spikes: image number i of a batch always draws the same random numbers

    Returns
    -------
    a module: (B, C, H, W) float32, preprocessed as the checkpoint says, -> (B, classes) float32, as `readout / T`

    Raises
    ------
    InputError : if the network is in fixed point, takes no images, or has loops through several layers; from the
        module, if images are of another shape

    Examples
    --------
    >>> import spikesam, torch
    >>> model = spikesam.to_torch("residual-digits")
    >>> images = torch.rand(2, *model.image_shape, requires_grad=True)
    >>> model(images)[:, 3].sum().backward()
    >>> images.grad.shape == images.shape
    True
    """
    given: Any = load_checkpoint(network) if isinstance(network, str) else network
    graph = getattr(given, "network", given)
    if not isinstance(graph, Network):
        raise NetworkError(f"to_torch: got {type(network).__name__}, expected a Network, a checkpoint or its name")
    if not graph.takes_images:
        raise NetworkError(f"to_torch: the network takes {graph.encoder}, expected one that takes images")
    return _ImageModule(graph, seed).eval()


class _ImageModule(nn.Module):
    """See :func:`to_torch`. `image_shape` is (C, H, W)."""

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__()
        self.spiking, self.seed = DifferentiableNetwork(network), seed
        channels, *sides = network.input_shape
        self.image_shape = channels // (2 if network.encoder == "poisson" else 1), *sides

    def forward(self, images: Tensor) -> Tensor:
        """The class scores of images."""
        if images.ndim != 4 or tuple(images.shape[1:]) != self.image_shape:
            expected = ", ".join(map(str, self.image_shape))
            raise NetworkError(f"to_torch: got images of {tuple(images.shape)}, expected (B, {expected})")
        encoded = encode_straight_through(self.spiking.network, images.cpu(), self.seed, range(len(images)))
        return self.spiking.logits(encoded.to(self.spiking.readout.device)).to(images.device)


def encode_straight_through(
    network: Network, images: Tensor, seed: int, indices: Sequence[int] | NDArray[np.int64]
) -> Tensor:
    """The input of a network, exactly as it is simulated, with the gradient of its expectation.

    Images are (B, C, H, W) float32, preprocessed, on the CPU. The input is float32, (T, B, 2C, H, W) of 0 and 1; or
    (B, C, H, W), for a constant current in -127 … 127, of an ANN in -1 … 1.
    """
    if network.encoder in ("image", "constant-current"):
        largest = network.input_range
        unit = 1 if network.encoder == "image" else PIXEL_LIMIT
        expected = images.clamp(-largest, largest) * (unit / largest)
    else:
        expected = torch.cat([images.clamp(0, 2), (-images).clamp(0, 2)], dim=1) / 2
    encoded = torch.from_numpy(unpacked(encode(network, images.detach().numpy(), seed, indices)))
    return encoded.to(torch.float32) + (expected - expected.detach())
