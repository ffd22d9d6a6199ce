"""The images or events of a training, prepared once and kept in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from spikesam.pipeline.config import Config
from spikesam.pipeline.images.datasets import Dataset, is_generated, open_dataset
from spikesam.pipeline.images.selection import split_selection
from spikesam.pipeline.training.inputs import Inputs
from spikesam.recordings.child import die_with_parent
from spikesam.recordings.errors import InputError
from spikesam.recordings.progress import progress_bar
from spikesam.recordings.text import shorten


def open_split(config: Config, split: str) -> Dataset:
    """A part of the data that the configuration names: "train", or "selection" where the data have such a part."""
    data = config.data
    size = data.train_scenes if is_generated(data.source) and split == "train" else None
    return open_dataset(data.source, split, data.classes, size=size, download=data.download)


def split(config: Config) -> tuple[Dataset, Dataset]:
    """The images to train on, and those by which the best epoch is selected."""
    training = open_split(config, "train")
    if is_generated(config.data.source):
        return training, open_split(config, "selection")
    kept, aside = split_selection(training.labels, config.training.selection, config.training.seed)
    return training.chosen(kept.tolist()), training.chosen(aside.tolist())


def steps_per_epoch(config: Config) -> int:
    """How many batches are trained on in an epoch."""
    return len(split(config)[0]) // config.training.batch_size


def loaders(config: Config, inputs: Inputs, console: Console) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Batches to train on, and to select the best epoch by."""
    settings = config.training
    training, selection = split(config)
    found = set(training.labels)
    absent = [name for label, name in enumerate(training.classes) if label not in found]
    if config.data.classes is not None and absent:
        raise InputError(f"data.classes: {training.name} has no training image of {shorten(absent)}")
    if len(training) < settings.batch_size:
        raise InputError(
            f"training.batch_size is {settings.batch_size}, but there are only {len(training)} training images"
        )
    parts = ((training, "training images"), (selection, "selection images"))
    fitting, selecting = _prepared(config, parts, inputs, console)

    def loader(images: TensorDataset, training: bool) -> DataLoader[Any]:
        sampler: DistributedSampler[Any] = DistributedSampler(  # of one process, since it shuffles by epoch
            images, 1, 0, shuffle=training, seed=settings.seed
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
    """Both parts in memory; scenes of the last training are kept for the next, since drawing them takes a minute."""
    described = (config.data, inputs.kept_shape)
    if described in _LAST_DRAWN:
        return _LAST_DRAWN[described]
    _LAST_DRAWN.clear()
    prepared = [_in_memory(dataset, inputs, what, console) for dataset, what in parts]
    if is_generated(config.data.source):
        _LAST_DRAWN[described] = prepared
    return prepared


_LAST_DRAWN: dict[Any, list[TensorDataset]] = {}  # at most one


def _in_memory(dataset: Dataset, inputs: Inputs, what: str, console: Console) -> TensorDataset:
    """Prepare every image once, as bytes."""
    images = np.empty((len(dataset), *inputs.kept_shape), np.uint8)
    labels = np.empty(len(dataset), np.int64)
    boxes = np.full((len(dataset), 4), np.nan, np.float32)
    with progress_bar(console) as progress:
        for place, item in enumerate(progress.track(dataset, description=f"preparing {what}", total=len(dataset))):
            if item.label is None:
                raise InputError(f"{dataset.name}: {item.name} has no label; training needs class folders")
            images[place] = inputs.kept(item.image)
            labels[place] = item.label
            box = None if item.box is None else inputs.preparation.box(item.box, item.image.size)
            boxes[place] = np.nan if box is None else box
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(boxes))
