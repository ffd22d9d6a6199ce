"""Images or events of a training: prepared once, kept in memory as bytes, varied at random, made
spikes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from spikesam.common.child import die_with_parent
from spikesam.common.errors import InputError
from spikesam.common.progress import progress_bar
from spikesam.common.text import shorten
from spikesam.pipeline.config import Config, TrainingSection
from spikesam.pipeline.images.datasets import Dataset, is_generated, open_dataset
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.images.selection import split_selection
from spikesam.pipeline.networks.layer_list import plan_depths, plan_layers
from spikesam.pipeline.training.trainable import poisson
from spikesam.recordings.raster.batch import packed_bytes


def open_split(config: Config, split: str) -> Dataset:
    """A part of the data that the configuration names: "train", or "selection" where the data have
    such a part.
    """
    data = config.data
    size = data.train_scenes if is_generated(data.source) and split == "train" else None
    return open_dataset(data.source, split, data.classes, size=size, download=data.download)


def split(config: Config) -> tuple[Dataset, Dataset]:
    """The images to train on, and those by which the best epoch is selected."""
    training = open_split(config, "train")
    if is_generated(config.data.source):
        return training, open_split(config, "selection")
    fitting, aside = split_selection(
        training.labels, config.training.selection, config.training.seed
    )
    return training.chosen(fitting.tolist()), training.chosen(aside.tolist())


def steps_per_epoch(config: Config) -> int:
    """The number of batches that a training with these settings takes in an epoch."""
    return len(split(config)[0]) // config.training.batch_size


def loaders(
    config: Config, inputs: Inputs, console: Console
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Batches to train on, and to select the best epoch by."""
    settings = config.training
    training, selection = split(config)
    labels_present = set(training.labels)
    absent = [name for label, name in enumerate(training.classes) if label not in labels_present]
    if config.data.classes is not None and absent:
        raise InputError(
            f"data.classes: {training.name} has no training image of {shorten(absent)}"
        )
    if len(training) < settings.batch_size:
        raise InputError(
            f"training.batch_size is {settings.batch_size}, but there are only {len(training)} "
            "training images"
        )
    parts = ((training, "training images"), (selection, "selection images"))
    fitting, selecting = _prepared(config, parts, inputs, console)

    def loader(images: TensorDataset, training: bool) -> DataLoader[Any]:
        sampler: DistributedSampler[Any] = (
            DistributedSampler(  # of one process, since it shuffles by epoch
                images, 1, 0, shuffle=training, seed=settings.seed
            )
        )
        return DataLoader(
            images,
            settings.batch_size,
            sampler=sampler,
            num_workers=settings.workers,
            drop_last=training,
            generator=torch.Generator(),  # the global one is for what is seeded by epoch
            worker_init_fn=partial(_end_with, os.getpid()),
        )

    return loader(fitting, True), loader(selecting, False)


def images_sha256(*loaders: DataLoader[Any]) -> str:
    """The identity of all that these hand out: images, labels and boxes."""
    digest = hashlib.sha256()
    for loader in loaders:
        for tensor in cast(TensorDataset, loader.dataset).tensors:
            digest.update(tensor.numpy())
    return digest.hexdigest()


def _end_with(parent: int, _: int) -> None:
    die_with_parent(parent)


def _prepared(
    config: Config, parts: Sequence[tuple[Dataset, str]], inputs: Inputs, console: Console
) -> list[TensorDataset]:
    """Both parts in memory; scenes of the last training are kept for the next, since drawing them
    takes a minute.
    """
    described = (config.data, inputs.kept_shape)
    if described in _LAST_DRAWN:
        return _LAST_DRAWN[described]
    _LAST_DRAWN.clear()
    prepared = [_in_memory(dataset, inputs, subject, console) for dataset, subject in parts]
    if is_generated(config.data.source):
        _LAST_DRAWN[described] = prepared
    return prepared


_LAST_DRAWN: dict[Any, list[TensorDataset]] = {}  # at most one


def _in_memory(dataset: Dataset, inputs: Inputs, subject: str, console: Console) -> TensorDataset:
    images = np.empty((len(dataset), *inputs.kept_shape), np.uint8)
    labels = np.empty(len(dataset), np.int64)
    boxes = np.full((len(dataset), 4), np.nan, np.float32)
    with progress_bar(console) as progress:
        for place, item in enumerate(
            progress.track(dataset, description=f"preparing {subject}", total=len(dataset))
        ):
            if item.label is None:
                raise InputError(
                    f"{dataset.name}: {item.name} has no label; training needs class folders"
                )
            images[place] = inputs.kept(item.image)
            labels[place] = item.label
            box = None if item.box is None else inputs.preparation.box(item.box, item.image.size)
            boxes[place] = np.nan if box is None else box
    return TensorDataset(
        torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(boxes)
    )


class ImageInputs:
    """Images as Poisson spikes, or for an ANN as they are."""

    def __init__(self, config: Config) -> None:
        data = config.data
        self.preparation = Preprocessing(data.height, data.width, data.mean, data.std)
        self.shape = (
            self.preparation.channels,
            data.height,
            data.width,
        )  # of the network's input, and of what is kept
        self.kept_shape = self.shape
        self._settings = config.training
        self._timesteps = None if config.network.neuron == "relu" else config.network.timesteps

    def kept(self, image: Image.Image | Events) -> NDArray[np.uint8]:
        """An image as it is kept: (C, H, W) uint8."""
        return self.preparation.picture(image).transpose(2, 0, 1)[: self.preparation.channels]

    def varied(self, images: Tensor, boxes: Tensor) -> Tensor:
        """A batch to train on: (B, C, H, W) uint8 -> signed spikes (T, B, C, H, W), or for an ANN
        (B, C, H, W).
        """
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
    """Binned events, one bin per step; silent steps follow, one per layer, so that every bin
    reaches the answer.
    """

    def __init__(self, config: Config) -> None:
        data, network, settings = config.data, config.network, config.training
        if network.neuron == "relu":
            raise InputError(
                'network.encoder is "spikes", which an ANN cannot take; set network.neuron = "lif"'
            )
        if settings.crop < 1:
            raise InputError(
                f"training.crop is {settings.crop}, but events cannot be zoomed; set training.crop "
                "= 1.0"
            )
        bins = network.timesteps - max(plan_depths(plan_layers(network.layers)).values())
        if bins < 1:
            raise InputError(
                f"network.timesteps is {network.timesteps}, expected more than the number of "
                "layers, each taking one"
            )
        self.preparation = EventBinning(data.height, data.width, bins, data.window_us, data.binning)
        self.shape = self.preparation.input_shape
        self.kept_shape = (bins, packed_bytes(2 * data.height * data.width))
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


def augment(images: Tensor, boxes: Tensor, settings: TrainingSection) -> Tensor:
    """Zoom, move and mirror images (B, C, H, W) at random; with `keep_object`, known boxes (B, 4)
    stay inside.
    """
    batch, _, height, width = images.shape
    size = torch.tensor([width, height], device=images.device)
    random = torch.rand(4, batch, 1, device=images.device)
    zoom = torch.sqrt(
        1 - (1 - settings.crop) * random[0]
    )  # side of the window, as a share of the image's
    low, high = torch.zeros_like(boxes[:, :2]), 1 - zoom  # of the window's corner
    if settings.keep_object:
        has_box = torch.isfinite(boxes).all(1, keepdim=True)
        start, end = boxes[:, :2] / size, boxes[:, 2:] / size
        zoom = torch.where(has_box, zoom.maximum((end - start).amax(1, keepdim=True)), zoom)
        low = torch.where(has_box, (end - zoom).clamp(min=0), low)
        high = torch.where(has_box, start.minimum(1 - zoom), 1 - zoom)
    corner = low + (high - low) * torch.cat([random[1], random[2]], 1)
    move = (
        2 * corner + zoom - 1
    )  # of the window's centre, in affine_grid's units: the image spans -1 … 1
    move = move + (4 * torch.rand_like(move) - 2) * settings.shift / size
    mirror = torch.where(random[3] < 0.5, -1.0, 1.0) if settings.flip else torch.ones_like(zoom)
    zero = torch.zeros_like(zoom)
    rows = [
        torch.cat([zoom * mirror, zero, move[:, :1]], 1),
        torch.cat([zero, zoom, move[:, 1:]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def move_events(bits: Tensor, settings: TrainingSection) -> Tensor:
    """Move each recording (B, T, 2, H, W) by whole pixels at random, and mirror it; one column
    within itself alone.
    """
    batch, *_, height, width = bits.shape
    random = torch.rand(3, batch, device=bits.device)
    reach = 2 * settings.shift + 1
    moves = (random[:2] * reach).long() - settings.shift
    moves[1] *= width > 1
    rows, columns = (
        torch.arange(side, device=bits.device) - move[:, None]
        for side, move in zip((height, width), moves, strict=True)
    )
    if settings.flip:
        columns = torch.where(random[2, :, None] < 0.5, width - 1 - columns, columns)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None, :
    ]
    place = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    moved = bits.flatten(3).gather(3, place.flatten(1)[:, None, None].expand(*bits.shape[:3], -1))
    return moved.unflatten(3, (height, width)) * inside[:, None, None]
