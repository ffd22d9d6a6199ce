"""Maps of images from a network's own gradients, as :func:`pipeline.maps.method.write_maps` takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.base import InputBatch
from backends.network import Kind
from pipeline.images.samples import Samples, choose_samples
from pipeline.networks.checkpoint import load_checkpoint
from pipeline.networks.differentiable import DifferentiableNetwork
from recordings.maps.schema import METHODS, MapHeader
from recordings.schema import SampleTable

from .grad_cam import grad_cam
from .method import Explained, network_layers, spatial_layers, summed
from .snn_grad_cam import snn_grad_cam
from .steps import kept_steps

Explain = Callable[
    [DifferentiableNetwork, InputBatch, NDArray[np.integer[Any]], Iterable[str]],
    tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]],
]
FUNCTIONS: dict[Kind, tuple[str, Explain]] = {"ann": ("grad-cam", grad_cam), "snn": ("snn-grad-cam", snn_grad_cam)}


@dataclass(frozen=True)
class NetworkMaps:
    """Grad-CAM of a network and images, a :class:`pipeline.maps.method.MapMethod`.

    Parameters
    ----------
    method : name of the method, a key of :data:`recordings.maps.schema.METHODS`
    function : encoded images -> predictions (B,) and maps (T, B, H, W) of each layer
    network : in float32
    class_names : for people
    images : what is explained
    layers : names of layers with a spatial extent, in order of depth
    seed : of the Poisson spikes
    wanted_steps : which maps are kept step by step, see :func:`pipeline.maps.steps.kept_steps`
    """

    method: str
    function: Explain
    network: DifferentiableNetwork
    class_names: tuple[str, ...]
    images: Samples
    layers: tuple[str, ...]
    seed: int
    wanted_steps: str = "pictured"

    @classmethod
    def load(
        cls,
        name: str,
        data: str | Sequence[str] | None,
        count: int,
        seed: int,
        layers: Sequence[str],
        download: bool = False,
        steps: str = "pictured",
    ) -> NetworkMaps:
        """Grad-CAM of a checkpoint and images as the command line names them.

        If no layer is named: the last convolution of an ANN, all layers of a spiking network that have maps.

        Raises
        ------
        InputError : if one of them does not exist, the network is in fixed point, or the images cannot be read
        """
        checkpoint = load_checkpoint(name)
        network = DifferentiableNetwork(checkpoint.network)
        chosen = spatial_layers(checkpoint.network.raster_kinds, layers, name)
        method, function = FUNCTIONS[checkpoint.network.kind]
        if method == "grad-cam" and not layers:
            chosen = chosen[-1:]
        kept_steps(steps, checkpoint.network.timesteps, count)  # refused before images are read
        images = choose_samples(data, checkpoint, count, seed, download)
        return cls(method, function, network, checkpoint.class_names, images, chosen, seed, steps)

    @property
    def samples(self) -> SampleTable:
        """What is explained."""
        return self.images.table

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        network = self.network.network
        layers = network_layers(network, self.layers)
        parameters = {"seed": self.seed} if "seed" in METHODS[self.method].parameters else {}
        kept = kept_steps(self.wanted_steps, network.timesteps, len(self.samples))
        return MapHeader(self.method, network.sha256, parameters, network.timesteps, layers, *kept)

    def explain(self, sample: int) -> Explained:
        """Prediction, sums and, of the first samples, maps."""
        (inputs,) = self.images.encoded([sample], self.network.network, self.seed, 1)
        predictions, maps = self.function(self.network, inputs, self.samples.label[[sample]], self.layers)
        of_sample = {name: of_batch[:, 0] for name, of_batch in maps.items()}
        return summed(self.header, sample, int(predictions[0]), of_sample)
