"""Grad-CAM of images as methods that :func:`pipeline.maps.method.write_maps` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.images.samples import Samples, choose_samples
from pipeline.networks.ann_checkpoint import AnnCheckpoint, load_ann
from pipeline.networks.checkpoint import load_checkpoint
from pipeline.networks.differentiable import DifferentiableNetwork
from recordings.layers import steps_that_matter
from recordings.maps.schema import MapHeader, MapLayer
from recordings.schema import SampleTable

from .gradcam import ann_kinds, explain_ann, explain_snn, snn_kinds
from .method import spatial_layers


@dataclass(frozen=True)
class AnnGradCam:
    """Grad-CAM of an ANN, a :class:`pipeline.maps.method.MapMethod`; its maps have one step.

    Parameters
    ----------
    checkpoint : the network
    images : what is explained
    samples : their table
    layers : names of convolutions, in order of depth
    """

    checkpoint: AnnCheckpoint
    images: Samples
    samples: SampleTable
    layers: tuple[str, ...]

    @classmethod
    def load(
        cls, name: str, data: str | Sequence[str], count: int, seed: int, layers: Sequence[str], download: bool = False
    ) -> AnnGradCam:
        """Of a checkpoint and images as the command line names them; the last convolution if no layer is named.

        Raises
        ------
        InputError : if one of them does not exist, or the images cannot be read
        """
        checkpoint = load_ann(name)
        kinds = ann_kinds(checkpoint.model)
        chosen = spatial_layers(kinds, layers, name)
        images = choose_samples(data, checkpoint, count, seed, download)
        return cls(checkpoint, images, images.table, chosen if layers else chosen[-1:])

    @property
    def class_names(self) -> tuple[str, ...]:
        """For people."""
        return self.checkpoint.class_names

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        model = self.checkpoint.model
        pools = np.cumprod([plan.pool for plan in model.plans])
        layers = tuple(
            MapLayer(name, number, (model.input_shape[1] // int(pool), model.input_shape[2] // int(pool)), 1)
            for number, (name, pool) in enumerate(zip(ann_kinds(model), pools, strict=True), 1)
            if name in self.layers
        )
        return MapHeader("grad-cam", self.checkpoint.sha256, {}, 1, layers)

    def explain(self, sample: int) -> tuple[int, dict[str, NDArray[np.float32]]]:
        """Prediction and maps of one sample."""
        image = self.images.images([sample])
        predictions, maps = explain_ann(self.checkpoint.model, image, self.samples.label[[sample]], self.layers)
        return int(predictions[0]), maps


@dataclass(frozen=True)
class SnnGradCam:
    """SNN-crafted Grad-CAM, a :class:`pipeline.maps.method.MapMethod`.

    Parameters
    ----------
    network : in float32
    class_names : for people
    images : what is explained
    samples : their table
    layers : names of layers with a spatial extent, in order of depth
    seed : of the Poisson spikes
    """

    network: DifferentiableNetwork
    class_names: tuple[str, ...]
    images: Samples
    samples: SampleTable
    layers: tuple[str, ...]
    seed: int

    @classmethod
    def load(
        cls, name: str, data: str | Sequence[str], count: int, seed: int, layers: Sequence[str], download: bool = False
    ) -> SnnGradCam:
        """Of a checkpoint and images as the command line names them; all layers that have maps if none is named.

        Raises
        ------
        InputError : if one of them does not exist, the network is in fixed point, or the images cannot be read
        """
        checkpoint = load_checkpoint(name)
        network = DifferentiableNetwork(checkpoint.network)
        chosen = spatial_layers(snn_kinds(checkpoint.network), layers, name)
        images = choose_samples(data, checkpoint, count, seed, download)
        return cls(network, checkpoint.class_names, images, images.table, chosen, seed)

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        network = self.network.network
        rasters = zip(network.raster_names, network.raster_shapes, strict=True)
        layers = tuple(
            MapLayer(name, number, shape[1:], steps_that_matter(network.timesteps, number, len(network.layers), 1))
            for number, (name, shape) in enumerate(rasters, network.first_raster)
            if name in self.layers
        )
        return MapHeader("snn-grad-cam", network.sha256, {"seed": self.seed}, network.timesteps, layers)

    def explain(self, sample: int) -> tuple[int, dict[str, NDArray[np.float32]]]:
        """Prediction and maps of one sample."""
        (inputs,) = self.images.encoded([sample], self.network.network, self.seed, 1)
        predictions, maps = explain_snn(self.network, inputs, self.samples.label[[sample]], self.layers)
        return int(predictions[0]), {name: of_batch[:, 0] for name, of_batch in maps.items()}
