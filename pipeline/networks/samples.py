"""Samples for a checkpoint: items of a data set, of classes that it knows,
prepared as it asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spikesam.common.errors import InputError
from spikesam.pipeline.images.datasets import Dataset, open_dataset
from spikesam.pipeline.images.datasets.chirps import NAME as CHIRPS
from spikesam.pipeline.images.datasets.cluttered_digits import CLUTTERED_DIGITS
from spikesam.pipeline.images.datasets.saccade_digits import NAME as SACCADE_DIGITS
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.samples import DatasetSamples, read_samples
from spikesam.pipeline.images.selection import balanced_order, known_classes
from spikesam.pipeline.networks.checkpoint import Checkpoint


def choose(
    source: str | Sequence[str] | None,
    checkpoint: Checkpoint,
    count: int,
    seed: int,
    download: bool = False,
    split: str = "val",
) -> Dataset:
    """The first `count` items of a seeded class-balanced order, of classes that the checkpoint
    knows; reads none.
    """
    prepare = checkpoint.preparation
    if source is None:
        of_events = CHIRPS if prepare.width == 1 else SACCADE_DIGITS
        source = of_events if isinstance(prepare, EventBinning) else CLUTTERED_DIGITS
    everything = open_dataset(source, split, download=download)
    dataset = known_classes(everything, checkpoint.classes, checkpoint.class_names)
    if not len(dataset):
        raise InputError(f"{dataset.name}: holds nothing")
    return dataset.chosen(balanced_order(dataset.labels, seed)[:count].tolist())


def choose_samples(
    source: str | Sequence[str] | None,
    checkpoint: Checkpoint,
    count: int,
    seed: int,
    download: bool = False,
    split: str = "val",
    advance: Callable[[int], None] = lambda images: None,
) -> DatasetSamples:
    """Choose items, see :func:`choose`, and read them, see :func:`read_samples`."""
    return read_samples(
        choose(source, checkpoint, count, seed, download, split),
        checkpoint.preparation,
        advance=advance,
    )
