"""Inputs of a training: images or events, kept in memory as bytes, varied at random, made spikes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from spikesam.pipeline.config import Config
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.networks.layer_list import depths, plan_layers
from spikesam.pipeline.training.augmentation import augment, move_events
from spikesam.pipeline.training.spiking_network import poisson
from spikesam.recordings.errors import InputError


class ImageInputs:
    """Images as Poisson spikes, or for an ANN as they are."""

    def __init__(self, config: Config) -> None:
        data = config.data
        self.preparation = Preprocessing(data.height, data.width, data.mean, data.std)
        self.shape = (self.preparation.channels, data.height, data.width)  # of the network's input, and of what is kept
        self.kept_shape = self.shape
        self._settings = config.training
        self._timesteps = None if config.network.neuron == "relu" else config.network.timesteps

    def kept(self, image: Image.Image | Events) -> NDArray[np.uint8]:
        """An image as it is kept: (C, H, W) uint8."""
        return self.preparation.picture(image).transpose(2, 0, 1)[: self.preparation.channels]

    def varied(self, images: Tensor, boxes: Tensor) -> Tensor:
        """A batch to train on: (B, C, H, W) uint8 -> signed spikes (T, B, C, H, W), or for an ANN (B, C, H, W)."""
        return self._spikes(augment(self._normalised(images), boxes, self._settings), None)

    def plain(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A batch to select an epoch by."""
        return self._spikes(self._normalised(images), generator)

    def _spikes(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        return images if self._timesteps is None else poisson(images, self._timesteps, generator)

    def _normalised(self, images: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(values, device=images.device).view(-1, 1, 1)
            for values in (self.preparation.mean, self.preparation.std)
        )
        return (images.float() / 255 - mean) / std


class EventInputs:
    """Binned events, one bin per step; silent steps follow, one per layer, so that every bin reaches the answer."""

    def __init__(self, config: Config) -> None:
        data, network, settings = config.data, config.network, config.training
        if network.neuron == "relu":
            raise InputError('network.encoder is "spikes", which an ANN cannot take; set network.neuron = "lif"')
        if settings.crop < 1:
            raise InputError(f"training.crop is {settings.crop}, but events cannot be zoomed; set training.crop = 1.0")
        bins = network.timesteps - max(depths(plan_layers(network.layers)).values())
        if bins < 1:
            raise InputError(
                f"network.timesteps is {network.timesteps}, expected more than the number of layers, each taking one"
            )
        self.preparation = EventBinning(data.height, data.width, bins, data.window_us, data.binning)
        self.shape = self.preparation.input_shape
        self.kept_shape = (bins, -(-2 * data.height * data.width // 8))
        self._settings, self._timesteps = settings, network.timesteps

    def kept(self, events: Image.Image | Events) -> NDArray[np.uint8]:
        """Events as they are kept: (bins, bytes) uint8, packed bits."""
        bits = self.preparation.binned(events).bits
        return np.packbits(bits.reshape(len(bits), -1), axis=1)

    def varied(self, packed: Tensor, boxes: Tensor) -> Tensor:
        """A batch to train on: (B, bins, bytes) uint8 -> spikes (T, B, 2, H, W) float32."""
        return self._in_time(move_events(self._unpacked(packed), self._settings))

    def plain(self, packed: Tensor, generator: torch.Generator) -> Tensor:
        """A batch to select an epoch by."""
        return self._in_time(self._unpacked(packed))

    def _unpacked(self, packed: Tensor) -> Tensor:
        places = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
        bits = ((packed[..., None] >> places) & 1).flatten(2)
        channels, height, width = self.shape
        return bits[..., : channels * height * width].unflatten(2, self.shape)

    def _in_time(self, bits: Tensor) -> Tensor:
        spikes = torch.zeros((self._timesteps, len(bits), *self.shape), device=bits.device)
        spikes[: bits.shape[1]] = bits.transpose(0, 1)
        return spikes


Inputs = ImageInputs | EventInputs


def training_inputs(config: Config) -> Inputs:
    """The inputs of the configured network."""
    return EventInputs(config) if config.network.encoder == "spikes" else ImageInputs(config)
